"""A Vision Transformer that classifies the mean of its patches instead of its class token."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import ViTForImageClassification
from transformers.modeling_outputs import ImageClassifierOutput


class MeanPoolingViTForImageClassification(ViTForImageClassification):
    """`ViTForImageClassification` over the mean of all patch tokens; the class token is attended to, not read."""

    def forward(
        self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None, **kwargs: Any
    ) -> ImageClassifierOutput:
        """pixel_values (batch, channels, height, width) -> logits (batch, labels)."""
        tokens = self.vit(pixel_values, **kwargs).last_hidden_state
        logits = self.classifier(tokens[:, 1:].mean(1))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return ImageClassifierOutput(loss=loss, logits=logits)
