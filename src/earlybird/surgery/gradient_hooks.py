"""Hooks on the gradients of parameters, which the smaller ones in their place would not have."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from earlybird.errors import InputError
from earlybird.slimming.weight_gradients import ReadGradient


def refuse_gradient_hooks(model: nn.Module, names: Iterable[str]) -> None:
    """Refuse to cut parameters that somebody hooks into, to clip their gradients or to step inside the backward pass.

    Raises:
        InputError: one of these parameters has a hook.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name in names:
        parameter = parameters.get(name)
        if parameter is None:
            continue
        after = (parameter._post_accumulate_grad_hooks or {}).values()
        if parameter._backward_hooks or any(not isinstance(hook, ReadGradient) for hook in after):
            raise InputError(
                f"{name} has a hook on its gradient, which the smaller parameter in its place would not have: remove it"
                " (handle.remove()), prune, and register it on the new parameter"
            )
