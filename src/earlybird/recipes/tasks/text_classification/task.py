"""Text classification and regression: one text or two, a pretrained model, cross-entropy or squared error."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from earlybird.recipes.data.classes import class_notes
from earlybird.recipes.data.counts import Counts
from earlybird.recipes.tasks.base import Batch, Metric, Task
from earlybird.recipes.tasks.pretrained import check_length, pretrained_config, pretrained_tokenizer, with_new_head
from earlybird.recipes.tasks.text_classification.examples import TextData, Texts, read_texts
from earlybird.recipes.tasks.text_classification.metrics import classification_metrics, regression_metrics
from earlybird.recipes.tasks.text_classification.settings import TextClassificationRecipe


class TextClassification(Task):
    """Classes or values of texts. A batch is tokenized as it is gathered and padded to its longest text."""

    def __init__(self, recipe: TextClassificationRecipe) -> None:
        self._recipe = recipe

    @cached_property
    def _data(self) -> TextData:
        return read_texts(self._recipe.data, regression=self._recipe.regression)

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        texts = 1 if self._recipe.data.second_text_column is None else 2
        return pretrained_tokenizer(self._recipe.model.pretrained, self._recipe.model.max_length, texts)

    @property
    def metric(self) -> Metric:
        """The recipe's choice; of the possible ones accuracy alone is a mean over the examples."""
        return Metric(self._recipe.metric, per_example=self._recipe.metric == "accuracy")

    @property
    def train(self) -> Texts:
        """The training texts."""
        return self._data.train

    @property
    def evaluation(self) -> Texts:
        """The evaluation texts."""
        return self._data.evaluation

    @property
    def notes(self) -> tuple[str, ...]:
        """On classes without examples."""
        classes = self._data.classes
        return class_notes(self.train.labels, self.evaluation.labels, classes) if classes else ()

    def fetch(self) -> Counts:
        """Download or check texts, tokenizer and model."""
        counts = Counts(*self._data.found, self._data.classes, self.notes)
        self.initial_model()
        return counts

    def initial_model(self) -> PreTrainedModel:
        """The pretrained model with a new head."""
        pretrained, seed = self._recipe.model.pretrained, self._recipe.seed
        _ = self._tokenizer
        config = pretrained_config(pretrained, self._data.classes or 1)
        config.problem_type = "regression" if self._recipe.regression else "single_label_classification"
        model = with_new_head(AutoModelForSequenceClassification, pretrained, config, seed)
        check_length(model, pretrained, self._recipe.model.max_length)
        return model

    def save_companions(self, directory: Path) -> None:
        """Write the tokenizer."""
        self._tokenizer.save_pretrained(directory)

    def collate(self, items: Sequence[Any]) -> Batch:
        """Tokenize: int64 (batch, longest) and the labels (batch,)."""
        texts, seconds, labels = zip(*items, strict=True)
        encoded = self._tokenizer(
            list(texts),
            None if seconds[0] is None else list(seconds),
            truncation=True,
            max_length=self._recipe.model.max_length,
            padding=True,
            return_tensors="pt",
        )
        return {**encoded, "labels": torch.tensor(labels)}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropy of the classes, or mean squared error of the values."""
        logits = _logits(model, batch)
        if self._recipe.regression:
            return nn.functional.mse_loss(logits.squeeze(-1), batch["labels"])
        smoothing = self._recipe.training.label_smoothing
        return nn.functional.cross_entropy(logits, batch["labels"], label_smoothing=smoothing)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """The most probable class, int64 (batch,), or the value, float32 (batch,)."""
        logits = _logits(model, batch)
        return logits.squeeze(-1) if self._recipe.regression else logits.argmax(-1)

    def metrics(self, predictions: NDArray[np.generic]) -> dict[str, float]:
        """GLUE's metrics for classes, or for values."""
        labels = self.evaluation.labels
        if self._recipe.regression:
            return regression_metrics(predictions.astype(np.float32), labels)
        return classification_metrics(predictions.astype(np.int64), labels, len(self._data.classes))

    def example_inputs(self) -> Batch:
        """One text of the greatest length."""
        return {"input_ids": torch.empty((1, self._recipe.model.max_length), dtype=torch.int64, device="meta")}


def _logits(model: nn.Module, batch: Batch) -> Tensor:
    logits: Tensor = model(**{name: value for name, value in batch.items() if name != "labels"}).logits
    return logits.float()
