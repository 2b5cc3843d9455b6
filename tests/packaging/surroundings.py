"""What the README's code and the whole way take for granted, with no more than a bare install has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
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


def trainer(place: Path) -> Trainer:
    """A Trainer of as many steps."""
    rows = [{key: value[i] for key, value in batch.items()} for batch in batches() for i in range(8)]
    arguments = TrainingArguments(
        str(place / "trainer"),
        per_device_train_batch_size=8,
        num_train_epochs=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    return Trainer(classifier(), arguments, train_dataset=rows)


def tokenizer() -> PreTrainedTokenizerFast:
    """Words of one letter."""
    words = {word: index for index, word in enumerate(["[UNK]", "[PAD]", *"abcdefgh"])}
    tokens = Tokenizer(models.WordLevel(words, "[UNK]"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokens, unk_token="[UNK]", pad_token="[PAD]")


def surroundings(place: Path) -> dict[str, Any]:
    """The names that a page's code uses."""
    model, examples = classifier(), batches()
    return {
        "AutoModelForSequenceClassification": AutoModelForSequenceClassification,
        "batch": examples[0],
        "batches": examples,
        "earlybird": earlybird,
        "model": model,
        "optimizer": torch.optim.AdamW(model.parameters(), lr=1e-2),
        "steps": STEPS,
        "tokenizer": tokenizer(),
        "trainer": trainer(place),
    }
