"""Pruned units removed in place, with what goes along: the optimizer, and the config of a Hugging Face model."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from earlybird.anatomy import Anatomy
from earlybird.anatomy.agreement import refuse_disagreement, together
from earlybird.anatomy.distributed import refuse_sharded
from earlybird.anatomy.wrappers import unwrapped
from earlybird.errors import InputError
from earlybird.slimming.scaling import refuse_while_slimming
from earlybird.surgery.apply_mask import Model, Patterns
from earlybird.surgery.compensate import Batch, Compensation, Method, compensated
from earlybird.surgery.data_parallel import data_parallel_around, rebuild, refuse_to_rebuild
from earlybird.surgery.inner_models import give_own_configs, record_shapes
from earlybird.surgery.optimizer import OptimizerUpdate, plan_update, update_optimizers
from earlybird.surgery.plan import SurgeryPlan, plan_surgery
from earlybird.surgery.remove_units import remove_units
from earlybird.surgery.removed_parameters import tell_of_removed
from earlybird.ticket import Ticket

T = TypeVar("T")


def prune(
    model: Model,
    ticket: Ticket | None,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    compensate: Iterable[Batch] | None = None,
    ridge: float = 0.1,
    method: Method = "ridge",
    memory: int = 1 << 30,
    patterns: Patterns = (),
    inputs: Mapping[str, Any] | None = None,
) -> Model:
    """Remove the pruned units in place; returns the model, physically smaller.

    A refusal leaves the model as it was: what can be checked is checked before the first parameter is touched,
    and what the surgery left is looked at again (every block with its new number of units, every count of heads,
    the number of parameters; one block of each sort is run by itself) and undone if it is not as it must be.
    The config of a Hugging Face model then says the new shape, so that whatever saves the model writes one that
    loads; so does that of every one inside the module that was given. Matrices of PEFT's LoRA are cut along.
    A model in torch's DistributedDataParallel is pruned in every process: all call, with the same ticket, and the
    wrapper is built anew in place. Then compensation refits on the batches of all.

    Args:
        model: to be made smaller.
        ticket: which units stay.
        optimizer: holds the model's parameters; it then holds the new ones, its state sliced along, and so do
            optimizers inside it. One that is not given here must be made anew: it still holds the old parameters, and
            those in their place do not train. If it steps all the same, a warning says so.
        compensate: batches on which the projections out of pruned blocks are refitted, so that the kept units give what
            all gave; for these and the next three see `Compensation`.
        ridge: of the refit.
        method: of the refit.
        memory: of the refit.
        patterns: of families that earlybird does not know.
        inputs: keyword arguments of the model's forward pass, to compare its outputs with units masked and
            removed; needed where an attention cannot be run by itself.

    Raises:
        InputError: there is no ticket, since the search has not settled; the ticket is for another model, a search
            is still attached to this one, a parameter that would be cut is used elsewhere too, a block does not give
            with its units removed what it gives with them masked, the optimizer cannot be made to hold the new
            parameters (LBFGS) or its state not be sliced (Adafactor), the batches to compensate on cannot serve, or
            processes that train one model together were given different tickets.
    """
    compensation = None if compensate is None else Compensation(compensate, ridge, method, memory)
    return prune_in(
        data_parallel_around(model),
        model,
        ticket,
        optimizer=optimizer,
        compensation=compensation,
        patterns=patterns,
        inputs=inputs,
    )


def prune_in(
    wrapper: DistributedDataParallel | None,
    model: Model,
    ticket: Ticket | None,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    compensation: Compensation | None,
    patterns: Patterns = (),
    inputs: Mapping[str, Any] | None = None,
    by_all: bool = False,
) -> Model:
    """As `prune`, of a model that is anywhere inside a wrapper for several processes, as in a LightningModule's.

    Args:
        wrapper: built anew in place; None in one process.
        model: see `prune`, and so for the others.
        ticket: which units stay.
        optimizer: holds the model's parameters.
        compensation: how to refit, and on which batches.
        patterns: of families that earlybird does not know.
        inputs: of the model's forward pass.
        by_all: all of several processes prune their copies now, also without a wrapper to be built anew.

    Raises:
        InputError: see `prune`.
    """
    inner = unwrapped(model)
    by_all = by_all or wrapper is not None
    in_all = together if by_all else _in_this_process
    if by_all:
        refuse_another_cut(ticket, optimizer, compensation)

    def prepared() -> tuple[SurgeryPlan, list[OptimizerUpdate]]:
        refuse_while_slimming(inner)
        if ticket is None:
            raise InputError(
                "there is no ticket, got None: of a search, the masks have not settled; search.draw_now() draws at"
                " the newest step"
            )
        if optimizer is not None and not (hasattr(optimizer, "param_groups") and hasattr(optimizer, "state")):
            raise InputError(f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}")
        refuse_sharded(inner)
        if wrapper is not None:
            refuse_to_rebuild(wrapper)
        plan = plan_surgery(Anatomy.of(inner, patterns=patterns), ticket)
        return plan, [] if optimizer is None or not plan.cuts else plan_update(optimizer, inner, plan)

    plan, updates = in_all(prepared)
    if not plan.cuts:
        return model
    refits = {} if compensation is None else compensated(inner, plan, compensation, by_all=by_all)
    in_all(lambda: carry_out(plan, inner, updates, refits=refits, patterns=patterns, inputs=inputs))
    if wrapper is not None:
        rebuild(wrapper)
    return model


def _in_this_process(action: Callable[[], T]) -> T:
    return action()


def refuse_another_cut(
    ticket: Ticket | None, optimizer: torch.optim.Optimizer | None, compensation: Compensation | None
) -> None:
    """Raise InputError in every process where one of them would prune otherwise than the first."""
    how = "not given"
    if compensation is not None:
        how = f"given, with ridge={compensation.ridge}, method={compensation.method}, memory={compensation.memory}"
    refuse_disagreement(
        {
            "the ticket": "None" if ticket is None else _masks_digest(ticket),
            "optimizer": "not given" if optimizer is None else "given",
            "compensate": how,
        }
    )


def carry_out(
    plan: SurgeryPlan,
    model: nn.Module,
    updates: list[OptimizerUpdate],
    *,
    refits: Mapping[str, Tensor],
    patterns: Patterns = (),
    inputs: Mapping[str, Any] | None = None,
) -> None:
    """Do to a model, itself, all that a plan says, and to its config and its optimizers what follows.

    Args:
        plan: of its surgery.
        model: without wrappers.
        updates: of its optimizers; emptied, because they hold parameters that are gone.
        refits: see `compensated`.
        patterns: see `prune`.
        inputs: see `prune`.

    Raises:
        InputError: see `remove_units`.
    """
    before = [weakref.ref(parameter) for parameter in model.parameters()]
    after = remove_units(model, plan, refits=refits, patterns=patterns, inputs=inputs)
    update_optimizers(model, updates)
    updates.clear()
    give_own_configs(model)
    record_shapes(model, after, patterns)
    tell_of_removed(before, model)


def _masks_digest(ticket: Ticket) -> str:
    """Short hash of what a ticket keeps."""
    content = hashlib.sha256()
    for kind, mask in sorted(ticket.masks.items()):
        content.update(kind.encode() + mask.tobytes())
    return content.hexdigest()[:16]
