"""Parameters that pruning has removed from a model, and the optimizers that hold them still."""

from __future__ import annotations

import contextlib
import gc
import warnings
import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


def tell_of_removed(before: Iterable[weakref.ref[nn.Parameter]], model: nn.Module) -> None:
    """Let every optimizer that holds removed parameters warn at its steps: the model's own do not train by them.

    Nothing is done where nobody holds them any more. Otherwise the optimizers are looked for among all objects of the
    process, some 50 ms, and each gets a hook of its own (`Optimizer.register_step_pre_hook`): one that never steps says
    nothing, and no other optimizer is touched.

    Args:
        before: the parameters of the model before it was pruned.
        model: after it.
    """
    kept = {id(parameter) for parameter in model.parameters()}
    removed = [
        parameter for reference in before if (parameter := reference()) is not None and id(parameter) not in kept
    ]
    for parameter in removed:
        parameter.removed_by_earlybird = True  # type: ignore[attr-defined]
    if not removed:
        return
    objects = gc.get_objects()
    kinds = {kind for kind in set(map(type, objects)) if issubclass(kind, torch.optim.Optimizer)}
    for optimizer in [each for each in objects if type(each) in kinds]:
        # Anybody's, half made perhaps, or around another one that is found itself and without hooks of its own.
        with contextlib.suppress(Exception):
            if removed_in(optimizer):
                optimizer.register_step_pre_hook(_warn)


def removed_in(optimizer: torch.optim.Optimizer) -> int:
    """How many parameters an optimizer holds that pruning has removed from their model."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return sum(hasattr(parameter, "removed_by_earlybird") for parameter in parameters)


def _warn(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    if count := removed_in(optimizer):
        warnings.warn(
            f"{type(optimizer).__name__} steps with {count} parameters that pruning has removed from the model, and"
            " those in their place do not train: give the optimizer to earlybird.prune (optimizer=), or make a new one",
            stacklevel=3,  # where the loop calls step()
        )
