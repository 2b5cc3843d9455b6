"""Image classification: the model of a recipe, its Trainer, its metric."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_model
from torch import Tensor, nn
from transformers import Trainer, ViTConfig, ViTForImageClassification, set_seed

from earlybird.mean_pooling import MeanPoolingViTForImageClassification
from earlybird.off_by_one import use_off_by_one
from earlybird.recipes.augmentation import Augmentation, normalise
from earlybird.recipes.data import ImageData
from earlybird.recipes.settings import ModelSettings


def build_model(settings: ModelSettings, labels: tuple[str, ...], seed: int) -> ViTForImageClassification:
    """A Vision Transformer with random weights, `ViTForImageClassification` from a config."""
    config = ViTConfig(
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=settings.neurons,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
        image_size=settings.image_size,
        patch_size=settings.patch_size,
        num_channels=settings.channels,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    set_seed(seed)
    mean = settings.pooling == "mean"
    model = (MeanPoolingViTForImageClassification if mean else ViTForImageClassification)(config)
    if settings.softmax == "off_by_one":
        use_off_by_one(model)
    return model


def example_inputs(settings: ModelSettings) -> dict[str, Tensor]:
    """One image's worth of input, on the meta device: only its shape matters."""
    shape = (1, settings.channels, settings.image_size, settings.image_size)
    return {"pixel_values": torch.empty(shape, device="meta")}


class ImageTrainer(Trainer):
    """The Trainer over uint8 images: augments batches on the model's device, adds a penalty to the loss.

    Args:
        data: images, with the statistics to normalise by.
        augmentation: applied to training batches.
        penalty: added to the training loss, a scalar.
    """

    def __init__(
        self,
        *,
        data: ImageData,
        augmentation: Augmentation,
        penalty: Callable[[], Tensor] | None,
        **trainer: Any,
    ) -> None:
        super().__init__(
            train_dataset=data.train,
            eval_dataset=data.evaluation,
            compute_metrics=accuracy,
            preprocess_logits_for_metrics=_predicted,
            **trainer,
        )
        self._data = data
        self._augmentation = augmentation
        self._penalty = penalty
        # The loss below is a mean over the batch, which the Trainer divides by the accumulated batches.
        self.loss_is_scaled_for_ga = False

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Cross-entropy with the augmented targets (training) or the labels (evaluation)."""
        images, labels = inputs["pixel_values"], inputs["labels"]
        if model.training:
            pixels, targets = self._augmentation(images, labels)
        else:
            pixels, targets = normalise(images, self._data.mean, self._data.std), labels
        outputs = model(pixel_values=pixels)
        loss = nn.functional.cross_entropy(outputs.logits.float(), targets)
        if model.training and self._penalty is not None:
            loss = loss + self._penalty()
        return (loss, {"logits": outputs.logits}) if return_outputs else loss

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the weights under the model's own names.

        `save_pretrained` would write some families (ViT among them) under the names of older versions, which
        the Trainer does not translate back when it resumes.
        """
        target = Path(output_dir or self.args.output_dir or ".")
        target.mkdir(parents=True, exist_ok=True)
        if self.args.should_save and self.model is not None:
            save_model(self.model, str(target / "model.safetensors"))


def accuracy(prediction: Any) -> dict[str, float]:
    """Share of examples whose most probable label is right, in percent."""
    return {"accuracy": 100.0 * float(np.mean(prediction.predictions == prediction.label_ids))}


def _predicted(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.argmax(-1)
