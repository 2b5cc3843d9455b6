"""Copies of a model to run, whatever a trainer has put on it."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def copied(model: Model, known: dict[int, Any] | None = None) -> Model:
    """A deep copy that runs its own forward pass.

    A trainer may put a forward pass on the model itself that calls the one before (TRL's loss without logits,
    accelerate's mixed precision). Of such a function a deep copy keeps the model that it was made for, and would run
    that. The copy gets the forward pass of its class instead. What refers to the model as an argument, as accelerate's
    hooks of devices do, is copied along.

    Args:
        model: which is left as it is.
        known: what stands for objects inside the model, by their `id`, as in `copy.deepcopy`.
    """
    result = copy.deepcopy(model, known)
    for module in result.modules():
        if getattr(vars(module).get("forward"), "__closure__", None):
            del module.forward
    return result
