"""Silencing the pruned units of a model (`apply_mask`) and removing them (`prune`)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from earlybird.anatomy import Anatomy, AttentionBlock, AttentionPattern, MlpPattern
from earlybird.anatomy.bias_tables import TABLE
from earlybird.anatomy.projections import projection_at
from earlybird.cutting import Cut, cut_of, cuts, masked_blocks, slice_state, tensor_at
from earlybird.errors import InputError
from earlybird.flops import parameter_count
from earlybird.input_width import wanting_width
from earlybird.operation import Operation
from earlybird.optimizer_surgery import follow
from earlybird.outputs import largest_difference, output_tensors
from earlybird.processes import refuse_spread
from earlybird.pruned_shape import record_shape
from earlybird.scaling import is_scaled
from earlybird.shared_parameters import refuse_shared_parameters
from earlybird.ticket import Ticket
from earlybird.trial import Trial, silenced, trial_key, trial_of, trial_of_model, untried
from earlybird.wrappers import unwrapped

__all__ = ["Cut", "apply_mask", "cuts", "prune", "slice_state", "verify"]

Model = TypeVar("Model", bound=nn.Module)
Patterns = Sequence[AttentionPattern | MlpPattern]
_NOTHING = np.ones(0, dtype=np.bool_)  # to be pruned of a block that a ticket does not speak of


def apply_mask(model: Model, ticket: Ticket, *, patterns: Patterns = ()) -> Model:
    """Silence the pruned units in place: same shapes, they contribute exactly 0; returns the model.

    Zeroes the columns of the output projections that the pruned units feed.

    Args:
        model: as it is before pruning.
        ticket: which units stay.
        patterns: of families that earlybird does not know.

    Raises:
        InputError: the ticket is for another model.
    """
    refuse_while_slimming(model)
    inner = unwrapped(model)
    blocks = masked_blocks(Anatomy.of(inner, patterns=patterns), ticket)
    modules = dict(inner.named_modules())
    with torch.no_grad():
        for block, mask in blocks:
            output = projection_at(modules, block.after.path)
            assert output is not None
            for part in output.input_parts(block.after.unit_of):
                weight = tensor_at(inner, part.parameter)
                pruned = torch.from_numpy(~mask[part.unit_of]).to(weight.device)
                weight.index_fill_(part.dim, pruned.nonzero().flatten(), 0)
    return model


def prune(
    model: Model,
    ticket: Ticket | None,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    patterns: Patterns = (),
    inputs: Mapping[str, Any] | None = None,
) -> Model:
    """Remove the pruned units in place; returns the model, physically smaller.

    A refusal leaves the model as it was: what can be checked is checked before the first parameter is touched,
    and what the surgery left is looked at again (every block with its new number of units, every count of heads,
    the number of parameters; one block of each sort is run by itself) and undone if it is not as it must be.
    The config of a Hugging Face model then says the new shape, so that whatever saves the model writes one that
    loads. Matrices of PEFT's LoRA are cut along.

    Args:
        model: to be made smaller.
        ticket: which units stay.
        optimizer: holds the model's parameters; it then holds the new ones, its state sliced along. One that is
            not given here must be made anew: it still holds the old parameters.
        patterns: of families that earlybird does not know.
        inputs: keyword arguments of the model's forward pass, to compare its outputs with units silenced and
            removed; needed where an attention cannot be run by itself.

    Raises:
        InputError: there is no ticket, since the search has not settled; the ticket is for another model, a search
            is still attached to this one, a parameter that would be cut is used elsewhere too, a block does not give
            with its units removed what it gives with them silenced, or the optimizer's state cannot be sliced.
    """
    refuse_while_slimming(model)
    if ticket is None:
        raise InputError(
            "there is no ticket, got None: the masks have not settled; search.draw_now() draws at the newest step"
        )
    refuse_spread(model)
    _prune(unwrapped(model), ticket, optimizer, patterns, inputs)
    return model


def _prune(
    model: nn.Module,
    ticket: Ticket,
    optimizer: torch.optim.Optimizer | None,
    patterns: Patterns,
    inputs: Mapping[str, Any] | None,
) -> None:
    anatomy = Anatomy.of(model, patterns=patterns)
    blocks = masked_blocks(anatomy, ticket)
    planned = cuts(model, anatomy, ticket)
    if not planned:
        return
    refuse_shared_parameters(model, [cut.parameter for cut in planned])
    masks = {block.name: mask for block, mask in blocks}
    parameters = dict(model.named_parameters())
    operation = Operation(model)
    try:
        if any(isinstance(block, AttentionBlock) and not mask.all() for block, mask in blocks):
            for attention in anatomy.attention:
                operation.untie(attention)
        # A bias that was the business of another layer is now part of each block.
        before = Anatomy.of(model, patterns=patterns)
        expected = parameter_count(model)
        slices = cuts(model, before, ticket)
        trials = _trials(model, before, masks, patterns, inputs)
        for block in before.blocks:
            if block.name not in masks:
                continue
            mask = masks[block.name]
            expected -= sum(operation.cut(cut_of(part, block, mask)) for part in block.parts)
            if isinstance(block, AttentionBlock):
                operation.count_heads(block, int(mask.sum()), int(block.kept(mask)[block.units :].sum()))
        after = Anatomy.of(model, patterns=patterns)
        _check(model, after, before, masks)
        if parameter_count(model) != expected:
            raise InputError(
                f"{type(model).__name__} cannot be pruned: it would have {parameter_count(model):,} parameters after"
                f" surgery instead of {expected:,}"
            )
        for block in wanting_width(model, [block for block in after.attention if block.name in masks]):
            operation.narrow(block)
        for trial in trials:
            trial.check(model)
        if optimizer is not None:
            copies = {
                f"{block.owner}.{TABLE}.weight": f"{block.bias_table}.weight"
                for block in anatomy.attention
                if block.hands_on_bias and block.bias_table
            }
            follow(optimizer, parameters, model, slices, copies)
    except Exception:
        operation.undo()
        raise
    record_shape(model, Anatomy.of(model, patterns=patterns))


def verify(model: nn.Module, ticket: Ticket, inputs: Mapping[str, Any] | Tensor, *, patterns: Patterns = ()) -> float:
    """Largest absolute difference between the masked and the pruned model's outputs; the model is unchanged.

    Args:
        model: as it is before pruning.
        ticket: the ticket to try.
        inputs: keyword arguments of the model's forward pass, or its one tensor.
        patterns: of families that earlybird does not know.

    Raises:
        InputError: the ticket is for another model.
    """
    outputs = []
    for operation in (apply_mask, prune):
        changed = operation(copy.deepcopy(unwrapped(model)), ticket, patterns=patterns).eval()
        with torch.no_grad():
            result = changed(**inputs) if isinstance(inputs, Mapping) else changed(inputs)
        outputs.append(output_tensors(result))
    masked, pruned = outputs
    if not masked:
        raise InputError(f"{type(model).__name__} returns no tensor that could be compared")
    return largest_difference(masked, pruned)


def _trials(
    model: nn.Module,
    anatomy: Anatomy,
    masks: Mapping[str, NDArray[np.bool_]],
    patterns: Patterns,
    inputs: Mapping[str, Any] | None,
) -> list[Trial]:
    """One trial of each sort of block that loses units, and of the whole on inputs; none without weights.

    Raises:
        InputError: an attention cannot be tried, which is neither described by the user nor seen on inputs.
    """
    if any(parameter.is_meta for parameter in model.parameters()):
        return []
    cut = [block for block in anatomy.blocks if not masks.get(block.name, _NOTHING).all()]
    vouched = tuple(pattern.query for pattern in patterns if isinstance(pattern, AttentionPattern))
    sorts: dict[tuple[Any, ...], Trial | None] = {}
    with silenced(model, [(block, masks[block.name]) for block in cut]):
        for block in cut:
            if (key := trial_key(model, block)) in sorts:
                continue
            sorts[key] = trial_of(model, block)
            if (
                sorts[key] is None
                and isinstance(block, AttentionBlock)
                and not block.query.endswith(vouched)
                and inputs is None
            ):
                raise untried(model, block)
        if inputs is not None:
            sorts[(model,)] = trial_of_model(model, inputs)
    return [trial for trial in sorts.values() if trial is not None]


def _check(model: nn.Module, after: Anatomy, before: Anatomy, masks: Mapping[str, NDArray[np.bool_]]) -> None:
    """Refuse unless a model just pruned is found again block by block, with the counts that were to be kept."""
    found = {block.name: block for block in after.blocks}
    for block in before.blocks:
        expected = int(masks[block.name].sum()) if block.name in masks else block.units
        again = found.get(block.name)
        if again is None or again.units != expected:
            seen = "is not found any more" if again is None else f"has {again.units} units"
            left = next((f" ({left.reason})" for left in after.left_out if left.name == block.name), "")
            raise InputError(
                f"{type(model).__name__} cannot be pruned: after surgery {block.name} {seen} where it should have"
                f" {expected}{left}"
            )


def refuse_while_slimming(model: nn.Module) -> None:
    """Raise InputError if a search has its coefficients on a model."""
    for name, module in model.named_modules():
        if is_scaled(module):
            raise InputError(
                f"slimming coefficients are still attached to {name}: call the search's finish() first (it folds"
                " them into the weights), or detach() (it drops them); of a copy, earlybird.scaling.fold(copy)"
            )
