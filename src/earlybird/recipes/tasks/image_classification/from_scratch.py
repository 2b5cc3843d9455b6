"""A Vision Transformer from scratch."""

from __future__ import annotations

from transformers import ViTConfig, ViTForImageClassification, set_seed

from earlybird.models.mean_pooling import MeanPoolingViTForImageClassification
from earlybird.models.off_by_one import use_off_by_one
from earlybird.recipes.tasks.image_classification.settings import ModelSettings


class FromScratch:
    """A `ViTForImageClassification` with random weights, from a config."""

    statistics = None

    def __init__(self, settings: ModelSettings, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self.image_size = settings.image_size
        self.channels = settings.channels

    def build(self, labels: tuple[str, ...]) -> ViTForImageClassification:
        """Draw the weights by the seed."""
        config = ViTConfig(
            hidden_size=self._settings.hidden,
            num_hidden_layers=self._settings.layers,
            num_attention_heads=self._settings.heads,
            intermediate_size=self._settings.neurons,
            hidden_dropout_prob=self._settings.dropout,
            attention_probs_dropout_prob=self._settings.dropout,
            image_size=self._settings.image_size,
            patch_size=self._settings.patch_size,
            num_channels=self._settings.channels,
            id2label=dict(enumerate(labels)),
            label2id={label: index for index, label in enumerate(labels)},
        )
        set_seed(self._seed)
        mean = self._settings.pooling == "mean"
        model = (MeanPoolingViTForImageClassification if mean else ViTForImageClassification)(config)
        if self._settings.softmax == "off_by_one":
            use_off_by_one(model)
        return model
