"""Hooks on the gradients of parameters, which the smaller ones in their place would not have."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from earlybird.errors import InputError
from earlybird.slimming.weight_gradients import AddRead, ReadGradient


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
        hooks = [*(parameter._backward_hooks or {}).values(), *(parameter._post_accumulate_grad_hooks or {}).values()]
        if any(not isinstance(hook, ReadGradient | AddRead) for hook in hooks):
            raise InputError(
                f"{name} has a hook on its gradient, which the smaller parameter in its place would not have: remove it"
                " (handle.remove()), prune, and register it on the new parameter"
            )
