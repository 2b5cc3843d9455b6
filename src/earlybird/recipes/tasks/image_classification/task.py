"""Image classification: augmented batches, cross-entropy, accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from earlybird.recipes.augmentation import Augmentation, normalise
from earlybird.recipes.data import ImageData, ImageDataset, fetch_images, load_images
from earlybird.recipes.data.counts import Counts
from earlybird.recipes.tasks.base import Batch, Metric, Task
from earlybird.recipes.tasks.image_classification.model import build_model
from earlybird.recipes.tasks.image_classification.settings import ImageClassificationRecipe


class ImageClassification(Task):
    """Classes of images; training batches are augmented on the model's device."""

    metric = Metric("accuracy", per_example=True)

    def __init__(self, recipe: ImageClassificationRecipe) -> None:
        self._recipe = recipe

    @cached_property
    def _data(self) -> ImageData:
        model = self._recipe.model
        return load_images(self._recipe.data, model.image_size, model.channels)

    @cached_property
    def _augmentation(self) -> Augmentation:
        data, smoothing = self._data, self._recipe.training.label_smoothing
        return Augmentation(self._recipe.augmentation, data.mean, data.std, len(data.labels), smoothing)

    @property
    def train(self) -> ImageDataset:
        """The training images."""
        return self._data.train

    @property
    def evaluation(self) -> ImageDataset:
        """The evaluation images."""
        return self._data.evaluation

    def fetch(self) -> Counts:
        """Download or check the images; they are not decoded yet."""
        return fetch_images(self._recipe.data)

    def initial_model(self) -> PreTrainedModel:
        """A Vision Transformer with random weights."""
        return build_model(self._recipe.model, self._data.labels, self._recipe.seed)

    def collate(self, items: Sequence[Any]) -> Batch:
        """Stack images: uint8 (batch, channels, height, width) and int64 (batch,)."""
        pixels = torch.stack([item["pixel_values"] for item in items])
        return {"pixel_values": pixels, "labels": torch.tensor([item["labels"] for item in items])}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropy with the augmented targets."""
        pixels, targets = self._augmentation(batch["pixel_values"], batch["labels"])
        return nn.functional.cross_entropy(model(pixel_values=pixels).logits.float(), targets)

    def predict(self, model: nn.Module, batch: Batch) -> Tensor:
        """The most probable class: int64 (batch,)."""
        pixels = normalise(batch["pixel_values"], self._data.mean, self._data.std)
        classes: Tensor = model(pixel_values=pixels).logits.argmax(-1)
        return classes

    def metrics(self, predictions: NDArray[np.generic]) -> dict[str, float]:
        """Share of images whose most probable class is right."""
        return {"accuracy": 100.0 * float(np.mean(predictions == self.evaluation.labels))}

    def example_inputs(self) -> Batch:
        """One image."""
        model = self._recipe.model
        shape = (1, model.channels, model.image_size, model.image_size)
        return {"pixel_values": torch.empty(shape, device="meta")}
