"""An optimizer follows its model's surgery: it holds the new parameters, its state sliced along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from earlybird.cutting import Cut, slice_state
from earlybird.errors import InputError


def follow(
    optimizer: torch.optim.Optimizer, before: Mapping[str, nn.Parameter], model: nn.Module, slices: Sequence[Cut]
) -> None:
    """Put the pruned model's parameters into the optimizer, in place of those that they were cut from.

    State of a parameter's shape (momenta, second moments) is sliced as the parameter was; a scalar (a step count)
    stays. Nothing is touched if anything is refused.

    Args:
        optimizer: held the model's parameters before pruning.
        before: the model's parameters by name, before pruning.
        model: after pruning.
        slices: from `cuts`, of the model before pruning.

    Raises:
        InputError: the model got parameters that the optimizer has never seen, or a state has neither its
            parameter's shape nor a single number.
    """
    after = dict(model.named_parameters())
    strangers = sorted(after.keys() - before.keys())
    if strangers:
        raise InputError(
            f"pruning gave the model parameters of its own ({', '.join(strangers[:3])}), which the optimizer cannot"
            " have a state of: prune without optimizer=, and make a new one"
        )
    replaced = {before[name]: (name, new) for name, new in after.items() if new is not before[name]}
    states: dict[nn.Parameter, dict[str, Any]] = {}
    for old, (name, new) in replaced.items():
        state = dict(optimizer.state.get(old, {}))
        tensors = {key: value for key, value in state.items() if isinstance(value, Tensor) and value.numel() > 1}
        for key, value in tensors.items():
            if value.shape != old.shape:
                raise InputError(
                    f"the optimizer keeps {key} of {name} in the shape {tuple(value.shape)}, not the parameter's"
                    f" {tuple(old.shape)}, and cannot be sliced: prune without optimizer=, and make a new one"
                )
        states[new] = {**state, **slice_state({name: tensors}, list(slices))[name]}
    for group in optimizer.param_groups:
        group["params"] = [replaced[old][1] if old in replaced else old for old in group["params"]]
    for old, (_, new) in replaced.items():
        if old in optimizer.state:
            del optimizer.state[old]
            optimizer.state[new] = states[new]
