"""Parameters that pruning has removed from a model, and the optimizers that hold them still."""

from __future__ import annotations

import contextlib
import gc
import warnings
import weakref
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

T = TypeVar("T")


def tell_of_removed(before: Iterable[weakref.ref[nn.Parameter]], model: nn.Module) -> None:
    """Let every optimizer that holds removed parameters warn at its steps: the model's own do not train by them.

    Nothing is done where nobody holds them any more. Otherwise the optimizers are looked for among all objects of the
    process, and each gets a hook of its own (`Optimizer.register_step_pre_hook`): one that never steps says
    nothing, and no other optimizer is touched.

    Args:
        before: the parameters of the model before it was pruned.
        model: after it.
    """
    kept = {id(parameter) for parameter in model.parameters()}
    removed = [
        parameter for reference in before if (parameter := reference()) is not None and id(parameter) not in kept
    ]
    if not removed:
        return
    objects = gc.get_objects()
    # A model that shared them is whole still, and trains by them.
    shared = {
        id(parameter)
        for module in _instances(objects, nn.Module)
        for parameter in vars(module).get("_parameters", {}).values()
    }
    for parameter in removed:
        if id(parameter) not in shared:
            parameter.removed_by_earlybird = True  # type: ignore[attr-defined]
    for optimizer in _instances(objects, torch.optim.Optimizer):
        # Anybody's, half made perhaps, or around another one that is found itself and without hooks of its own.
        with contextlib.suppress(Exception):
            if removed_in(optimizer):
                optimizer.register_step_pre_hook(_warn)


def removed_in(optimizer: torch.optim.Optimizer) -> int:
    """How many parameters an optimizer holds that pruning has removed from their model."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return sum(hasattr(parameter, "removed_by_earlybird") for parameter in parameters)


def _instances(objects: Sequence[Any], kind: type[T]) -> list[T]:
    """The objects of a class, by their types alone: some answer to isinstance in ways of their own."""
    kinds = {each for each in set(map(type, objects)) if issubclass(each, kind)}
    return [each for each in objects if type(each) in kinds]


def _warn(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    if count := removed_in(optimizer):
        warnings.warn(
            f"{type(optimizer).__name__} steps with {count} parameters that pruning has removed from the model, and"
            " those in their place do not train: give the optimizer to earlybird.prune (optimizer=), or make a new one",
            stacklevel=3,  # where the loop calls step()
        )
