"""Which tokens of a model's call are none of padding."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

# The label of a token that the loss leaves out, as padding is.
_IGNORED = -100


class Padding:
    """Forward pre-hook of the model: which tokens of its newest call are none of padding, by the call's arguments."""

    def __init__(self, model: nn.Module) -> None:
        self._signature = inspect.signature(model.forward)
        self._two_stacks = bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False))
        self._masks: dict[str, Tensor] = {}

    def __call__(self, _: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Look at the arguments of the call."""
        arguments = {**self._signature.bind_partial(*inputs, **named).arguments, **named}
        if inputs and isinstance(inputs[0], Mapping):  # a dictionary of the arguments, as sentence-transformers has it
            arguments = {**inputs[0], **named}
        visible: dict[str, Any] = {"encoder": arguments.get("attention_mask")}
        if self._two_stacks:
            visible["decoder"] = arguments.get("decoder_attention_mask")
            labels = arguments.get("labels")
            if visible["decoder"] is None and isinstance(labels, Tensor):
                visible["decoder"] = labels != _IGNORED
        self._masks = {
            stack: mask.bool() for stack, mask in visible.items() if isinstance(mask, Tensor) and mask.ndim == 2
        }

    def visible_tokens(self, block: str, features: Tensor) -> Tensor:
        """What enters a block's projection, (batch, length, features) or in rows, as (tokens, features)."""
        parts = block.split(".")
        stack = "decoder" if self._two_stacks and "decoder" in parts else "encoder"
        mask = None if any("vision" in part for part in parts) else self._masks.get(stack)
        rows = features.reshape(-1, features.shape[-1])
        fits = mask is not None and (features.shape[:-1] == mask.shape or features.shape[:-1] == (mask.numel(),))
        return rows[mask.flatten()] if fits and mask is not None else rows
