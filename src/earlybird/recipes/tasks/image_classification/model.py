"""A Vision Transformer from scratch."""

from __future__ import annotations

from transformers import ViTConfig, ViTForImageClassification, set_seed

from earlybird.mean_pooling import MeanPoolingViTForImageClassification
from earlybird.off_by_one import use_off_by_one
from earlybird.recipes.tasks.image_classification.settings import ModelSettings


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
