"""An optimizer taken along in its model's surgery: it holds the new parameters, its state sliced as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from earlybird.errors import InputError
from earlybird.surgery.plan import Cut, SurgeryPlan


@dataclass(frozen=True, eq=False)
class OptimizerUpdate:
    """What an optimizer holds once its model is pruned.

    Attributes:
        origins: name of a parameter of the pruned model -> the one of the model before that it is cut or copied
            from; only those that the optimizer holds.
        states: their states, sliced; of those that have any.
    """

    origins: Mapping[str, nn.Parameter]
    states: Mapping[str, dict[str, Any]]


def plan_update(optimizer: torch.optim.Optimizer, model: nn.Module, plan: SurgeryPlan) -> OptimizerUpdate:
    """Slice an optimizer's state as a plan cuts the parameters; neither model nor optimizer is touched.

    State of a parameter's shape (momenta, second moments) is sliced as the parameter is, and copied where it is
    copied; a single number (a step count) stays.

    Args:
        optimizer: holds the model's parameters.
        model: before pruning.
        plan: of its surgery.

    Raises:
        InputError: the optimizer holds no parameter that is cut, and none at all or others than the model's; or a
            state has neither its parameter's shape nor a single number.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    names = {cut.parameter: cut.parameter for cut in plan.cuts} | dict(plan.copies)
    origins = {
        name: parameters[origin]
        for name, origin in names.items()
        if origin in parameters and id(parameters[origin]) in held
    }
    stale = held - {id(parameter) for parameter in parameters.values()}
    if not origins and (stale or not held):
        raise InputError(
            "the optimizer holds none of the parameters that are pruned: it is another model's, or still has the"
            " parameters from before an earlier pruning"
        )
    if reason := unsliceable(optimizer, {names[name]: parameter for name, parameter in origins.items()}):
        raise InputError(f"{reason}: prune without optimizer=, and make a new one")
    states = {
        name: _sliced(state, [cut for cut in plan.cuts if cut.parameter == name])
        for name, old in origins.items()
        if (state := optimizer.state.get(old))
    }
    return OptimizerUpdate(origins, states)


def update_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, update: OptimizerUpdate) -> None:
    """Put the pruned model's parameters into the optimizer, in place of those that they were cut or copied from.

    Args:
        optimizer: the one that the update was planned for.
        model: after pruning.
        update: planned before.
    """
    successors: dict[nn.Parameter, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if name in update.origins:
            successors.setdefault(update.origins[name], []).append(parameter)
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
    for name, state in update.states.items():
        optimizer.state[model.get_parameter(name)] = state


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


def _sliced(state: Mapping[str, Any], cuts: Sequence[Cut]) -> dict[str, Any]:
    """A parameter's state, cut as the parameter is; no tensor is one of the state's, since copies have theirs."""
    result = dict(state)
    for key, value in state.items():
        if not isinstance(value, Tensor):
            continue
        result[key] = value.clone() if value.numel() == 1 or not cuts else value
        for cut in cuts if value.numel() > 1 else ():
            result[key] = result[key].index_select(cut.dim, cut.index.to(value.device))
    return result


def _tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """What of a parameter's state is no single number."""
    return {key: value for key, value in state.items() if isinstance(value, Tensor) and value.numel() > 1}
