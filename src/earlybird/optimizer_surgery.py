"""An optimizer follows its model's surgery: it holds the new parameters, its state sliced along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from earlybird.cutting import Cut, slice_state
from earlybird.errors import InputError


def follow(
    optimizer: torch.optim.Optimizer,
    before: Mapping[str, nn.Parameter],
    model: nn.Module,
    slices: Sequence[Cut],
    copies: Mapping[str, str],
) -> None:
    """Put the pruned model's parameters into the optimizer, in place of those that they were cut from.

    State of a parameter's shape (momenta, second moments) is sliced as the parameter was; a scalar (a step count)
    stays. Nothing is touched if anything is refused.

    Args:
        optimizer: held the model's parameters before pruning.
        before: the model's parameters by name, before pruning.
        model: after pruning.
        slices: what was cut, of the model just before.
        copies: parameters that the surgery made as copies of others (their state is copied along): name -> name of
            the original.

    Raises:
        InputError: the optimizer holds no parameter that was cut, and none at all or others than the model's; the
            model got one that is no copy, or a state has neither its parameter's shape nor a single number.
    """
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    changed: list[tuple[str, nn.Parameter, nn.Parameter]] = []
    for name, new in model.named_parameters():
        old = before.get(copies.get(name, name))
        if old is None:
            raise InputError(
                f"pruning gave the model {name}, which the optimizer has no state of: prune without optimizer=, and"
                " make a new one"
            )
        if new is not old and id(old) in held:
            changed.append((name, old, new))
    stale = held - {id(parameter) for parameter in before.values()}
    if not changed and (stale or not held):
        raise InputError(
            "the optimizer holds none of the parameters that are pruned: it is another model's, or still has the"
            " parameters from before an earlier pruning"
        )
    if reason := unsliceable(optimizer, {name: old for name, old, _ in changed}):
        raise InputError(f"{reason}: prune without optimizer=, and make a new one")
    states: dict[Tensor, dict[str, Any]] = {}
    for name, old, new in changed:
        if state := optimizer.state.get(old):
            states[new] = {**state, **slice_state({name: _tensors(state)}, list(slices))[name]}
    successors: dict[nn.Parameter, list[nn.Parameter]] = {}
    for _, old, new in changed:
        successors.setdefault(old, []).append(new)
    kept = set(model.parameters())
    for group in optimizer.param_groups:
        group["params"] = [
            parameter
            for old in group["params"]
            for parameter in ([old] if old in kept or old not in successors else []) + successors.get(old, [])
        ]
    for old in successors:
        if old not in kept:
            optimizer.state.pop(old, None)
    optimizer.state.update(states)


def unsliceable(optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor]) -> str:
    """Why the state that an optimizer has of parameters cannot be sliced, or ""."""
    for name, parameter in parameters.items():
        for key, value in _tensors(optimizer.state.get(parameter, {})).items():
            if value.shape != parameter.shape:
                return (
                    f"the optimizer keeps {key} of {name} in the shape {tuple(value.shape)}, not the parameter's"
                    f" {tuple(parameter.shape)}, and cannot be sliced"
                )
    return ""


def _tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """What of a parameter's state is no single number."""
    return {key: value for key, value in state.items() if isinstance(value, Tensor) and value.numel() > 1}
