"""What a tool without earlybird would compute wrongly."""

from __future__ import annotations

from transformers import PreTrainedModel

from earlybird.errors import InputError
from earlybird.models import off_by_one
from earlybird.models.mean_pooling import MeanPoolingViTForImageClassification


def refuse_own_mathematics(model: PreTrainedModel) -> None:
    """Raise InputError for a model whose outputs depend on code of earlybird, not on its weights alone."""
    if off_by_one.is_used(model):
        raise InputError("a model with the off-by-one softmax gives other outputs in tools that do not know it")
    if isinstance(model, MeanPoolingViTForImageClassification):
        raise InputError(
            "a ViT that classifies the mean of its patches gives other outputs in tools that read the class token"
        )
