"""A model of which each process holds a part: gathered into a plain one, which is pruned, to be sharded anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from earlybird.anatomy import Anatomy
from earlybird.anatomy.agreement import from_all, refuse_disagreement, together
from earlybird.anatomy.distributed import is_first, is_sharded_tensor, refuse_sharded
from earlybird.anatomy.wrappers import unwrapped
from earlybird.errors import InputError
from earlybird.slimming.scaling import refuse_while_slimming
from earlybird.surgery.apply_mask import Patterns
from earlybird.surgery.compensate import Batch, Compensation, compensated
from earlybird.surgery.optimizer import cannot_follow_as_tried, sliced
from earlybird.surgery.plan import SurgeryPlan, plan_surgery
from earlybird.surgery.prune import carry_out, masks_digest
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
        InputError: in every process: the models do not have the same tensors, a search is attached still, the tickets
            differ, the optimizer's state cannot be sliced (Adafactor); and see `earlybird.prune`.
    """
    inner, plain = unwrapped(model), unwrapped(whole)
    refuse_while_slimming(inner)
    refuse_sharded(plain)
    refuse_disagreement({"the ticket": masks_digest(ticket)})
    if optimizer is not None and (reason := cannot_follow_as_tried(optimizer)):
        raise InputError(f"{reason}: prune without optimizer=, and make a new one")
    for module in inner.modules():
        if isinstance(module, FSDPModule):
            module.reshard()  # an evaluation leaves the outermost one's parameters whole
    _gather_weights(inner, plain)
    plan = plan_surgery(Anatomy.of(plain, patterns=patterns), ticket)
    state = {} if optimizer is None else _sliced_state(model, optimizer, plain, plan)
    refits: Mapping[str, Tensor] = {}
    if compensate is not None:
        batches = list(compensate)
        batches = batches[: min(from_all(len(batches)))]
        refits = compensated(plain, plan, Compensation(batches, ridge), by_all=True, runs=inner)
    carry_out(plan, plain, [], refits=refits, patterns=patterns)
    return state


def _gather_weights(model: nn.Module, whole: nn.Module) -> None:
    """Copy the parameters and buffers of a sharded model into a plain one."""
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
        target.copy_(_gathered(part))


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

    def cut() -> dict[str, Any]:
        if not is_first():
            return {}
        of_parameters = state["state"]
        for name, original in plan.copies.items():
            if original in of_parameters:
                of_parameters[name] = of_parameters[original]
        for group in state["param_groups"]:
            group["params"] += [name for name, original in plan.copies.items() if original in group["params"]]
        shapes = {name: parameter.shape for name, parameter in whole.named_parameters()}
        for name, own in of_parameters.items():
            for key, value in own.items():
                wrong = isinstance(value, Tensor) and value.numel() > 1 and value.shape != shapes.get(name, value.shape)
                if wrong:
                    raise InputError(
                        f"the optimizer keeps {key} of {name} in the shape {tuple(value.shape)}, not the parameter's,"
                        " and cannot be sliced: prune without optimizer=, and make a new one"
                    )
        state["state"] = {name: sliced(name, own, plan) for name, own in of_parameters.items()}
        return state

    return together(cut)
