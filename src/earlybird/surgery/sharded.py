"""A model of which each process holds a part: gathered into a plain one, which is pruned, to be sharded anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from earlybird.anatomy import Anatomy
from earlybird.anatomy.agreement import from_all, together
from earlybird.anatomy.distributed import is_first, is_sharded_tensor, refuse_sharded
from earlybird.anatomy.paths import below
from earlybird.anatomy.wrappers import unwrapped
from earlybird.errors import InputError
from earlybird.slimming.scaling import refuse_while_slimming
from earlybird.surgery.apply_mask import Patterns
from earlybird.surgery.compensate import Batch, Compensation, compensated
from earlybird.surgery.optimizer import cannot_follow_as_tried, sliced
from earlybird.surgery.plan import SurgeryPlan, plan_surgery
from earlybird.surgery.prune import carry_out, refuse_another_cut
from earlybird.ticket import Ticket


def prune_sharded(
    model: nn.Module,
    whole: nn.Module,
    ticket: Ticket,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    compensate: Iterable[Batch] | None = None,
    ridge: float = 0.1,
    patterns: Patterns = (),
) -> dict[str, Any]:
    """Gather the weights of a model sharded by FSDP2 into a plain one, and prune that; all processes have to call.

        whole = build()                          # on the CPU, as big as the model, in every process
        state = prune_sharded(model, whole, ticket, optimizer=optimizer, compensate=batches)
        model = shard(whole.to(device))          # by fully_shard, as before
        optimizer = AdamW(model.parameters())
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
        set_optimizer_state_dict(model, optimizer, state, options=options)

    Weights come one at a time, so that a device holds one of them whole and no more; the optimizer's state comes to the
    first process alone.

    Args:
        model: sharded, its search finished; it is left as it is, and let go of afterwards.
        whole: of the same architecture and dtypes, not sharded; its weights are overwritten, and it is pruned in place.
        ticket: which units stay; the same in every process.
        optimizer: of the sharded model.
        compensate: batches of this process, to refit on together with those of all others, see `Compensation`; the
            sharded model runs on as many as the process with the fewest has.
        ridge: of the refit.
        patterns: of families that earlybird does not know.

    Returns:
        The optimizer's state, cut as the weights are, as `torch.distributed.checkpoint.state_dict` has whole ones; {}
        without an optimizer, and in all processes but the first.

    Raises:
        InputError: in every process: the models do not have the same tensors, a search is attached still, the processes
            do not give the same, the optimizer's state cannot be sliced (Adafactor); and see `earlybird.prune`. A batch
            that the model does not take in one process alone leaves the others waiting, as in a training step.
    """
    inner, plain = unwrapped(model), unwrapped(whole)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()  # an evaluation leaves the outermost one's parameters whole
    compensation = None if compensate is None else Compensation(list(compensate), ridge)
    refuse_another_cut(ticket, optimizer, compensation)
    together(lambda: _refuse(inner, plain, optimizer))
    _gather_weights(inner, plain)
    plan = together(lambda: plan_surgery(Anatomy.of(plain, patterns=patterns), ticket))
    if plan.emptied and optimizer is not None:
        raise InputError(
            f"{plan.emptied[0].name} loses its last unit, and torch cannot spread an optimizer's state of a parameter"
            " without elements over processes: prune without optimizer=, and make a new one"
        )
    state = {} if optimizer is None else _sliced_state(model, optimizer, whole, plan)
    refits: Mapping[str, Tensor] = {}
    if compensation is not None:
        batches = list(compensation.batches)
        fewest = replace(compensation, batches=batches[: min(from_all(len(batches)))])
        refits = compensated(plain, plan, fewest, by_all=True, runs=model)
    together(lambda: carry_out(plan, plain, [], refits=refits, patterns=patterns))
    return state


def _refuse(model: nn.Module, whole: nn.Module, optimizer: torch.optim.Optimizer | None) -> None:
    refuse_while_slimming(model)
    refuse_sharded(whole)
    parts, targets = model.state_dict(), whole.state_dict()
    if other := parts.keys() ^ targets.keys():
        raise InputError(
            f"the plain model to gather the sharded one into must have the same tensors, but one of them lacks"
            f" {', '.join(sorted(other)[:4])}: build it as the sharded one was built"
        )
    for name, part in parts.items():
        target = targets[name]
        if (part.shape, part.dtype) != (target.shape, target.dtype):
            raise InputError(
                f"the plain model to gather the sharded one into must have the same tensors, but {name} is"
                f" {tuple(target.shape)} in {target.dtype} there, and {tuple(part.shape)} in {part.dtype} here"
            )
    trained = dict(model.named_parameters())
    if optimizer is not None and (reason := cannot_follow_as_tried(optimizer, trained)):
        raise InputError(f"{reason}: prune without optimizer=, and make a new one")


def _gather_weights(model: nn.Module, whole: nn.Module) -> None:
    """Copy the parameters and buffers of a sharded model into a plain one."""
    targets = whole.state_dict()
    for name, part in model.state_dict().items():
        targets[name].copy_(_gathered(part))


def _gathered(part: Tensor) -> Tensor:
    if not is_sharded_tensor(part):
        return part
    from torch.distributed.tensor import DTensor

    assert isinstance(part, DTensor)
    return part.full_tensor()


def _sliced_state(
    model: nn.Module, optimizer: torch.optim.Optimizer, whole: nn.Module, plan: SurgeryPlan
) -> dict[str, Any]:
    """A sharded optimizer's state, gathered in the first process and cut there."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state: dict[str, Any] = get_optimizer_state_dict(model, optimizer, options=options)
    return together(lambda: _cut(state, whole, plan) if is_first() else {})


def _cut(state: dict[str, Any], whole: nn.Module, plan: SurgeryPlan) -> dict[str, Any]:
    """The whole state of an optimizer, names being those in `whole`, cut along with what is inside that."""
    inner = unwrapped(whole)
    around = next(below(path, "") for path, module in whole.named_modules() if module is inner)
    of_parameters = state["state"]
    for name, original in plan.copies.items():
        if around + original in of_parameters:
            of_parameters[around + name] = of_parameters[around + original]
    for group in state["param_groups"]:
        group["params"] += [
            around + name for name, original in plan.copies.items() if around + original in group["params"]
        ]
    shapes = {name: parameter.shape for name, parameter in whole.named_parameters()}
    shapes |= {around + name: shapes[around + original] for name, original in plan.copies.items()}
    for name, own in of_parameters.items():
        for key, value in own.items():
            if isinstance(value, Tensor) and value.numel() > 1 and value.shape != shapes.get(name):
                raise InputError(
                    f"the optimizer keeps {key} of {name} in the shape {tuple(value.shape)}, not that of a parameter of"
                    " the plain model, and cannot be sliced: prune without optimizer=, and make a new one"
                )
    state["state"] = {name: sliced(name.removeprefix(around), own, plan) for name, own in of_parameters.items()}
    return state
