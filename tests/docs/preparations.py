"""What the code on each page takes for granted: a model, batches, an optimizer, all tiny."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

import earlybird

STEPS = 200


def classifier() -> BertForSequenceClassification:
    """BERT with two layers of four heads, for two classes."""
    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=50,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=32,
        )
    )


def batches() -> list[dict[str, torch.Tensor]]:
    """Texts whose class is that of their second token."""
    ids = torch.randint(5, 50, (STEPS, 8, 10), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": here, "labels": (here[:, 1] > 27).long()} for here in ids]


def loop(place: Path) -> dict[str, Any]:
    """A training loop's surroundings, and a Trainer."""
    model = classifier()
    examples = batches()
    return {
        "model": model,
        "batches": examples,
        "batch": examples[0],
        "steps": STEPS,
        "optimizer": torch.optim.AdamW(model.parameters(), lr=1e-2),
        "trainer": trainer(place),
    }


def trainer(place: Path) -> Trainer:
    """One that trains for as many steps."""
    rows = [{key: value[i].tolist() for key, value in batch.items()} for batch in batches() for i in range(8)]
    arguments = TrainingArguments(
        str(place / "trainer"),
        per_device_train_batch_size=8,
        num_train_epochs=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    return Trainer(classifier(), arguments, train_dataset=Dataset.from_list(rows))


def saving(place: Path) -> dict[str, Any]:
    """A model, its tokenizer and its ticket."""
    words = {word: index for index, word in enumerate(["[UNK]", "[PAD]", *"abcdefgh"])}
    tokens = Tokenizer(models.WordLevel(words, "[UNK]"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    model = classifier()
    ticket = earlybird.Ticket.random(earlybird.Anatomy.of(model), heads=0.3, neurons=0.4)
    return {
        "model": earlybird.prune(model, ticket),
        "ticket": ticket,
        "tokenizer": PreTrainedTokenizerFast(tokenizer_object=tokens, unk_token="[UNK]", pad_token="[PAD]"),
        "AutoModelForSequenceClassification": AutoModelForSequenceClassification,
    }


def unpruned(place: Path) -> dict[str, Any]:
    """The same before pruning."""
    return saving(place) | {"model": classifier()}


class GatheredAttention(nn.Module):
    """One fused projection, head by head, with names that no family has."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.head_dim = 4, 8
        self.mix = nn.Linear(32, 96)
        self.gather = nn.Linear(32, 32)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(batch, length, 32) -> the same."""
        batch, length, _ = states.shape
        parts = self.mix(states).view(batch, length, self.num_heads, 3, self.head_dim)
        query, key, value = parts.permute(3, 0, 2, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.gather(mixed.transpose(1, 2).reshape(batch, length, self.num_heads * self.head_dim))


class Widened(nn.Module):
    """An MLP with names that no family has."""

    def __init__(self) -> None:
        super().__init__()
        self.widen, self.narrow = nn.Linear(32, 64), nn.Linear(64, 32)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(..., 32) -> the same."""
        return self.narrow(torch.relu(self.widen(states)))


def own_family(place: Path) -> dict[str, Any]:
    """A model of two such layers."""
    torch.manual_seed(0)
    return {"earlybird": earlybird, "model": nn.Sequential(GatheredAttention(), Widened()).eval()}


def adapted(place: Path) -> dict[str, Any]:
    """A pruned model with a LoRA adapter."""
    from peft import LoraConfig, PeftModel, get_peft_model

    settings = LoraConfig(task_type="SEQ_CLS", target_modules=["query", "value"], r=2)
    return {"earlybird": earlybird, "PeftModel": PeftModel, "adapted": get_peft_model(saving(place)["model"], settings)}


def nothing(place: Path) -> dict[str, Any]:
    """The page brings all it needs."""
    return {}


PREPARATIONS: Mapping[str, Callable[[Path], dict[str, Any]]] = MappingProxyType(
    {
        "README.md": lambda place: {"earlybird": earlybird, **saving(place), **loop(place)},
        "docs/anatomy.md": own_family,
        "docs/extending.md": nothing,
        "docs/fine-tune-bert.md": loop,
        "docs/index.md": loop,
        "docs/load-and-serve.md": unpruned,
        "docs/slimming.md": adapted,
        "docs/timm.md": nothing,
        "docs/your-own-loop.md": loop,
        "docs/your-own-model.md": loop,
    }
)
