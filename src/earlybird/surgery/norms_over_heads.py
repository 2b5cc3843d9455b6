"""Attention after a norm over all heads, made to go on with fewer; see `earlybird.anatomy.norms_over_heads`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from earlybird.anatomy.norms_over_heads import KEPT_FEATURES


class SelectFeatures:
    """Forward hook of a norm: of its result (..., features) what its buffer `kept_features` lists."""

    def __call__(self, norm: nn.Module, _: tuple[Any, ...], result: Tensor) -> Tensor:
        """The result (..., features kept)."""
        return result.index_select(-1, norm.get_buffer(KEPT_FEATURES))


def select_features(norm: nn.Module) -> list[Callable[[], None]]:
    """Let what follows a norm see the features of some heads, by now of all; returns what undoes it.

    A norm that does so already stays as it is.
    """
    if KEPT_FEATURES in norm._buffers:
        return []
    weight = norm.get_parameter("weight")
    norm.register_buffer(KEPT_FEATURES, torch.arange(len(weight), device=weight.device))
    handle = norm.register_forward_hook(SelectFeatures())

    def undo() -> None:
        handle.remove()
        del norm._buffers[KEPT_FEATURES]

    return [undo]
