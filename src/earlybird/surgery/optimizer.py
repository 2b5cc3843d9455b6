"""An optimizer taken along in its model's surgery: it holds the new parameters, its state sliced as they were."""

from __future__ import annotations

import contextlib
import inspect
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from earlybird.errors import InputError
from earlybird.surgery.plan import SurgeryPlan
from earlybird.surgery.removed_parameters import removed_in


@dataclass(frozen=True, eq=False)
class OptimizerUpdate:
    """What an optimizer holds once its model is pruned.

    Attributes:
        optimizer: the one that was planned for, or one inside it.
        origins: name of a parameter of the pruned model -> the one of the model before that it is cut or copied
            from; only those that the optimizer holds.
        states: their states, sliced; of those that have any.
    """

    optimizer: torch.optim.Optimizer
    origins: Mapping[str, nn.Parameter]
    states: Mapping[str, dict[str, Any]]


def plan_update(optimizer: torch.optim.Optimizer, model: nn.Module, plan: SurgeryPlan) -> list[OptimizerUpdate]:
    """Slice an optimizer's state as a plan cuts the parameters; neither model nor optimizer is touched.

    State of a parameter's shape (momenta, second moments) is sliced as the parameter is, and copied where it is
    copied; a single number (a step count) stays. Optimizers inside the optimizer (Lookahead's, accelerate's) are taken
    along.

    Args:
        optimizer: holds the model's parameters.
        model: before pruning.
        plan: of its surgery.

    Raises:
        InputError: the optimizer holds no parameter that is cut, and none at all or others than the model's; it holds
            parameters from before an earlier pruning; or it cannot be made to follow, see `cannot_follow`.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    names = {cut.parameter: cut.parameter for cut in plan.cuts} | dict(plan.copies)
    touched = {name: parameters[name] for name in names.values() if name in parameters}
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    others = held - {id(parameter) for parameter in parameters.values()}
    if count := removed_in(optimizer):
        raise InputError(
            f"the optimizer still holds {count} parameters from before an earlier pruning: prune without optimizer=,"
            " and make a new one"
        )
    if not _held_of(optimizer, touched) and (others or not held):
        raise InputError("the optimizer holds none of the parameters that are pruned: it is another model's")
    if reason := cannot_follow(optimizer, touched):
        raise InputError(f"{reason}: prune without optimizer=, and make a new one")
    updates = []
    for each in _optimizers_in(optimizer):
        mine = _held_of(each, touched)
        origins = {name: mine[origin] for name, origin in names.items() if origin in mine}
        states = {name: sliced(name, state, plan) for name, old in origins.items() if (state := each.state.get(old))}
        updates.append(OptimizerUpdate(each, origins, states))
    return updates


def update_optimizers(model: nn.Module, updates: Sequence[OptimizerUpdate]) -> None:
    """Put the pruned model's parameters into optimizers, in place of those that they were cut or copied from.

    Args:
        model: after pruning.
        updates: planned before.
    """
    kept = set(model.parameters())
    done: set[int] = set()  # groups, which an optimizer may share with one inside it
    for update in updates:
        state = update.optimizer.state
        successors: dict[nn.Parameter, list[tuple[str, nn.Parameter]]] = {}
        for name, parameter in model.named_parameters():
            if name in update.origins:
                successors.setdefault(update.origins[name], []).append((name, parameter))
        for group in update.optimizer.param_groups:
            if id(group) in done:
                continue
            done.add(id(group))
            names = group.get("param_names", [""] * len(group["params"]))
            entries: list[tuple[str, nn.Parameter]] = []
            for name, old in zip(names, group["params"], strict=True):
                new = successors.get(old, [])
                if old in kept or not new:
                    entries += [(name, old), *new]
                else:
                    entries += [(name, new[0][1]), *new[1:]]
            group["params"] = [parameter for _, parameter in entries]
            if "param_names" in group:
                group["param_names"] = [name for name, _ in entries]
        for old in successors:
            if old not in kept:
                state.pop(old, None)
        for name, sliced in update.states.items():
            state[model.get_parameter(name)] = sliced


def cannot_follow(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> str:
    """Why an optimizer, or one inside it, cannot be made to go on with others in the place of parameters, or "".

    It keeps parameters or tensors elsewhere than in its groups and its state (LBFGS), gives out copies of its groups,
    or has a state that cannot be sliced: of another shape than the parameter's, or of another class than torch's own.
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    optimizers = _optimizers_in(optimizer)
    # An optimizer may have those of one inside it under other names, too (Lookahead's fast_state).
    follow = {id(part) for each in optimizers for part in (each.state, each.param_groups)}
    for each in optimizers:
        kind = type(each).__name__
        if any(one is not other for one, other in zip(each.param_groups, each.param_groups, strict=True)):
            return f"{kind} gives out copies of its parameter groups, and cannot be given other parameters"
        elsewhere = [(key, value) for key, value in _attributes(each) if id(value) not in follow]
        for group in each.param_groups:
            elsewhere += [(key, value) for key, value in group.items() if key != "params"]
        for key, value in elsewhere:
            leaves = list(_leaves(value))
            if found := next((names[id(leaf)] for leaf in leaves if id(leaf) in names), None):
                return f"{kind} keeps {found} in its {key}, too, and cannot be given another parameter"
            if any(isinstance(leaf, Tensor) and leaf.numel() > 1 for leaf in leaves):
                return f"{kind} keeps tensors in its {key}, of which nothing says what parameter they belong to"
        if reason := _unsliceable(each, parameters):
            return reason
    return ""


def cannot_follow_as_tried(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> str:
    """As `cannot_follow`, of an optimizer without a state: another of its kind makes a step on a small matrix.

    It has the settings of the groups that hold the parameters. "" too where it cannot be tried so, because it wants
    other arguments, a closure, or another device.
    """
    wanted = {id(parameter) for parameter in parameters.values()}
    for each in _optimizers_in(optimizer):
        known = inspect.signature(type(each)).parameters
        for group in each.param_groups:
            if not wanted.intersection(map(id, group["params"])):
                continue
            matrix = nn.Parameter(torch.zeros(4, 3))
            matrix.grad = torch.ones(4, 3)
            # Whatever class an optimizer's own checks raise, and whatever it draws.
            with contextlib.suppress(Exception), torch.random.fork_rng(devices=()):
                settings = {name: value for name, value in group.items() if name in known and name != "params"}
                trial = type(each)([matrix], **settings)
                trial.step()
                if reason := cannot_follow(trial, {"a weight": matrix}):
                    return reason
    return ""


def _unsliceable(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> str:
    """Why the state that an optimizer has of parameters cannot be sliced, or ""."""
    for name, parameter in parameters.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            for tensor in _tensors_of(value):
                if tensor is not value:
                    found = f"as part of a {type(value).__name__}"
                elif type(tensor) not in (Tensor, nn.Parameter):
                    found = f"as a {type(tensor).__name__}"
                elif tensor.shape != parameter.shape:
                    found = f"in the shape {tuple(tensor.shape)}, not the parameter's {tuple(parameter.shape)},"
                else:
                    continue
                return f"the optimizer keeps {key} of {name} {found} and cannot be sliced"
    return ""


def _held_of(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """Those of parameters that an optimizer holds."""
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return {name: parameter for name, parameter in parameters.items() if id(parameter) in held}


def _optimizers_in(optimizer: torch.optim.Optimizer) -> list[torch.optim.Optimizer]:
    """An optimizer and those inside it; of those that share one state the innermost."""
    found = [optimizer]
    for each in found:
        for _, value in _attributes(each):
            for leaf in _leaves(value):
                if isinstance(leaf, torch.optim.Optimizer) and not any(leaf is other for other in found):
                    found.append(leaf)
    states = [each.state for each in found]
    return list({id(state): each for state, each in zip(states, found, strict=True)}.values())


def _attributes(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Any]]:
    """What an optimizer has beside its groups and its state."""
    for name, value in vars(optimizer).items():
        if name not in ("param_groups", "state"):
            yield name, value


def _leaves(value: Any) -> Iterator[Any]:
    """What lies in containers, however deep; a container that holds itself is gone through once."""
    left, seen = deque([value]), set()
    while left:
        entry = left.popleft()
        if isinstance(entry, Mapping | list | tuple | set | frozenset | deque):
            if id(entry) in seen:
                continue
            seen.add(id(entry))
            if isinstance(entry, Mapping):
                left.extend(entry.keys())
                entry = entry.values()
            left.extend(entry)
        else:
            yield entry


def _tensors_of(value: Any) -> Iterator[Tensor]:
    """The tensors of an entry of a state that are no single number, also those in an object of the optimizer's own."""
    for leaf in _leaves(value):
        if isinstance(leaf, Tensor):
            if leaf.numel() > 1:
                yield leaf
        elif not isinstance(leaf, type | nn.Module) and hasattr(leaf, "__dict__"):
            yield from (each for each in _leaves(vars(leaf)) if isinstance(each, Tensor) and each.numel() > 1)


def sliced(name: str, state: Mapping[str, Any], plan: SurgeryPlan) -> dict[str, Any]:
    """The state of a parameter by its name, cut as the parameter is; no tensor is one of the state's own."""
    cuts = [cut for cut in plan.cuts if cut.parameter == name]
    result = dict(state)
    for key, value in state.items():
        if not isinstance(value, Tensor):
            continue
        result[key] = value.clone() if value.numel() == 1 or not cuts else value
        for cut in cuts if value.numel() > 1 else ():
            result[key] = cut.of(result[key])
    return result
