"""What the code on each page takes for granted: a model, batches, an optimizer, all tiny."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from surroundings import STEPS, batches, classifier, tokenizer, trainer
from torch import nn
from transformers import AutoModelForSequenceClassification, LlamaConfig, LlamaForCausalLM

import earlybird


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


def about_to_draw(place: Path) -> dict[str, Any]:
    """A loop, in one process, whose search draws at its next look."""
    around = {"earlybird": earlybird, **loop(place)}
    config = earlybird.SearchConfig(heads=0.5, neurons=0.5, detector="fixed-time", threshold=0.5)
    around["search"] = search = earlybird.Search(around["model"], config, total_steps=4)
    for step in range(2):
        around["model"](**around["batches"][step]).loss.backward()
        if not step:
            assert search.step() is None
    return around


def saving(place: Path) -> dict[str, Any]:
    """A model, its tokenizer and its ticket."""
    model = classifier()
    ticket = earlybird.Ticket.random(earlybird.Anatomy.of(model), earlybird.PruningConfig(heads=0.3, neurons=0.4))
    return {
        "model": earlybird.prune(model, ticket),
        "ticket": ticket,
        "tokenizer": tokenizer(),
        "AutoModelForSequenceClassification": AutoModelForSequenceClassification,
    }


def elsewhere(place: Path) -> dict[str, Any]:
    """A decoder, its tokenizer, and an encoder of sentences on disk."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    classifier().bert.save_pretrained(place / "words")
    tokenizer().save_pretrained(place / "words")
    words = Transformer(str(place / "words"))
    SentenceTransformer(modules=[words, Pooling(words.get_embedding_dimension())]).save_pretrained(
        str(place / "encoder")
    )
    return {
        "model": LlamaForCausalLM(LlamaConfig(vocab_size=50, head_dim=8, num_key_value_heads=2, **sizes)),
        "tokenizer": tokenizer(),
    }


def unpruned(place: Path) -> dict[str, Any]:
    """The same before pruning."""
    return saving(place) | {"model": classifier()}


def cooking(place: Path) -> dict[str, Any]:
    """A Trainer, batches, and a model in a directory."""
    examples = batches()
    classifier().save_pretrained(place / "fine-tuned")
    return {"trainer": trainer(place), "batches": examples, "held_out": examples[:10], "tokenizer": tokenizer()}


def every_situation(place: Path) -> dict[str, Any]:
    """A loop and a Trainer, and a decoder to tune on conversations."""
    talking = decoder(place)
    return {**talking, "decoder": talking["model"], **loop(place)}


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


def decoder(place: Path) -> dict[str, Any]:
    """A small language model, conversations, and settings of a short training."""
    from datasets import Dataset
    from tiny_chat import conversations, llama
    from tiny_chat import tokenizer as chat_tokenizer
    from trl import SFTConfig

    return {
        "model": llama(),
        "tokenizer": chat_tokenizer(),
        "conversations": Dataset.from_list([{"messages": each} for each in conversations()] * 4),
        "settings": SFTConfig(str(place / "run"), bf16=False, save_strategy="no", report_to=[], use_cpu=True),
    }


def nothing(place: Path) -> dict[str, Any]:
    """The page brings all it needs."""
    return {}


PREPARATIONS: Mapping[str, Callable[[Path], dict[str, Any]]] = MappingProxyType(
    {
        "README.md": lambda place: {"earlybird": earlybird, **saving(place), **loop(place)},
        "docs/anatomy.md": own_family,
        "docs/budgets.md": loop,
        "docs/defaults.md": loop,
        "docs/choosing-a-detector.md": nothing,
        "docs/compensation.md": lambda place: {**unpruned(place), **loop(place)},
        "docs/cookbook.md": cooking,
        "docs/extending.md": loop,
        "docs/fine-tune-a-decoder.md": decoder,
        "docs/fine-tune-bert.md": loop,
        "docs/index.md": every_situation,
        "docs/load-and-serve.md": unpruned,
        "docs/serve-elsewhere.md": elsewhere,
        "docs/several-processes.md": about_to_draw,
        "docs/slimming.md": adapted,
        "docs/timm.md": nothing,
        "docs/your-own-loop.md": loop,
        "docs/your-own-model.md": loop,
    }
)
