"""Image classification: augmented batches, cross-entropy, accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedModel

from earlybird.recipes.augmentation.pipeline import Augmentation, normalise
from earlybird.recipes.data.counts import Counts
from earlybird.recipes.data.images import ImageData, ImageDataset
from earlybird.recipes.data.load import fetch_images, load_images
from earlybird.recipes.run_directory import write_json
from earlybird.recipes.tasks.base import Batch, Metric, Task
from earlybird.recipes.tasks.image_classification.network import ImageNetwork
from earlybird.recipes.tasks.image_classification.settings import ImageRecipe


class ImageClassification(Task):
    """Classes of images; training batches are augmented on the model's device."""

    metric = Metric("accuracy", per_example=True)

    def __init__(self, recipe: ImageRecipe, network: ImageNetwork) -> None:
        self._recipe = recipe
        self._network = network

    @cached_property
    def _data(self) -> ImageData:
        network = self._network
        return load_images(self._recipe.data, network.image_size, network.channels, network.statistics)

    @cached_property
    def _augmentation(self) -> Augmentation:
        labels, statistics = self._data.labels, self._data.statistics
        smoothing = self._recipe.training.label_smoothing
        return Augmentation(self._recipe.augmentation, statistics.mean, statistics.std, len(labels), smoothing)

    @property
    def train(self) -> ImageDataset:
        """The training images."""
        return self._data.train

    @property
    def evaluation(self) -> ImageDataset:
        """The evaluation images."""
        return self._data.evaluation

    @property
    def notes(self) -> tuple[str, ...]:
        """On files that are not read, and classes without examples."""
        return self._data.notes

    def fetch(self) -> Counts:
        """Download or check the images, decoding each once, and the network."""
        counts = fetch_images(self._recipe.data, self._network.channels)
        self._network.build(counts.labels)
        return counts

    def check_evaluation(self) -> None:
        """Decode each evaluation image, once."""
        self.evaluation.check()

    def initial_model(self) -> PreTrainedModel:
        """The network before any training."""
        return self._network.build(self._data.labels)

    def save_companions(self, directory: Path) -> None:
        """Write an image processor that does what the recipe does to evaluation images."""
        side, statistics = self._network.image_size, self._data.statistics
        processor = {
            # CLIP's is the one that cuts to the centred square; no more of CLIP is in it.
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": self._network.channels == 3,
            "do_resize": True,
            "size": {"shortest_edge": side},
            "resample": Image.Resampling.BICUBIC.value,
            "do_center_crop": True,
            "crop_size": {"height": side, "width": side},
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": statistics.mean,
            "image_std": statistics.std,
        }
        write_json(directory / "preprocessor_config.json", processor)

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
        pixels = normalise(batch["pixel_values"], self._data.statistics.mean, self._data.statistics.std)
        classes: Tensor = model(pixel_values=pixels).logits.argmax(-1)
        return classes

    def metrics(self, predictions: NDArray[np.generic]) -> dict[str, float]:
        """Share of images whose most probable class is right."""
        return {"accuracy": 100.0 * float(np.mean(predictions == self.evaluation.labels))}

    def example_inputs(self) -> Batch:
        """One image."""
        shape = (1, self._network.channels, self._network.image_size, self._network.image_size)
        return {"pixel_values": torch.empty(shape, device="meta")}
