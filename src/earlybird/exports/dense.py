"""The original shape of a pruned model, with zeros where units were removed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from earlybird.anatomy import Anatomy
from earlybird.anatomy.bias_tables import untied
from earlybird.anatomy.blocks import Part
from earlybird.anatomy.config_fields import CannotSayError
from earlybird.anatomy.norms_over_heads import KEPT_FEATURES
from earlybird.anatomy.patterns import KEPT_HEADS
from earlybird.checkpoint.model_files import Processor, moved_in_together
from earlybird.errors import InputError
from earlybird.exports.foreign import refuse_own_mathematics
from earlybird.surgery.plain_config import dense_config
from earlybird.surgery.plan import plan_surgery
from earlybird.surgery.pruned_shape import PrunedShape, ticket_of_shape
from earlybird.ticket import Ticket


def write_dense(
    model: PreTrainedModel, directory: Path, ticket: Ticket | None = None, processor: Processor | None = None
) -> None:
    """Save a model of the original shape that computes what a pruned one computes, and a processor along.

    Raises:
        InputError: the ticket is not the one by which the model was pruned, or pruning gave the layers tables of
            position biases of their own.
    """
    refuse_own_mathematics(model)
    dense = dense_model(model, ticket)
    with moved_in_together(directory, processor) as aside:
        dense.save_pretrained(aside)


def dense_model(model: PreTrainedModel, ticket: Ticket | None = None) -> PreTrainedModel:
    """A model of the original shape, on the CPU, with zeros where units were removed.

    Pruning it by the same ticket gives the model back, so that the two compute the same: a unit is silent that feeds
    the output projection through zeros.
    """
    try:
        dense: PreTrainedModel = type(model)(dense_config(model.config)).eval()
    except CannotSayError as error:
        raise InputError(f"the shape before pruning is not known: {error}") from error
    anatomy, pruned = Anatomy.of(dense), Anatomy.of(model)
    small = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    lists = _lists_of_kept(anatomy, small)
    if ticket is None:
        shape = PrunedShape.of(pruned)
        ticket = ticket_of_shape(anatomy, shape.kept, shape.key_value_groups, shape.blocks)
        ticket = _with_heads_listed(ticket, anatomy, small, lists)
    if own := sorted(small.keys() - dense.state_dict().keys() - lists.keys()):
        raise InputError(
            f"the dense model cannot be made: {own[0]} came with the heads kept, and the original shape has no place"
            " for it"
        )
    plan = plan_surgery(anatomy, ticket)
    if plan.mixtures:
        raise InputError(
            f"the dense model cannot be made: {plan.mixtures[0][0].name} has lost experts, and zeros in a router do not"
            " keep it from picking them"
        )
    for name, part in lists.items():
        index = next((cut.index for cut in plan.cuts if cut.parameter == name), torch.arange(len(part.unit_of)))
        if not torch.equal(small[name], index):
            raise _does_not_fit(name)
    large: dict[str, Tensor] = {}
    for name, value in dense.state_dict().items():
        content = small.get(name)
        for cut in reversed([cut for cut in plan.cuts if cut.parameter == name]):
            content = _spread(content, value.shape[cut.dim], cut.dim, cut.index)
        if content is None or content.shape != value.shape:
            raise _does_not_fit(name)
        large[name] = content
    # The tensors themselves, so that each keeps its type.
    dense.load_state_dict(large, assign=True)
    dense.tie_weights()
    if getattr(model, "generation_config", None) is not None:
        dense.generation_config = copy.deepcopy(model.generation_config)
    return dense


def _does_not_fit(name: str) -> InputError:
    return InputError(
        f"the dense model cannot be made: {name} does not fit the ticket, which is not the one by which the model was"
        " pruned"
    )


def _lists_of_kept(dense: Anatomy, small: Mapping[str, Tensor]) -> dict[str, Part]:
    """Buffers of a pruned model that list which heads, or features of heads, it has kept, and whose these are."""
    parts = (part for block in dense.attention for part in untied(block).parts)
    return {
        part.parameter: part
        for part in parts
        if part.parameter in small and part.parameter.endswith((KEPT_HEADS, KEPT_FEATURES))
    }


def _with_heads_listed(
    ticket: Ticket, dense: Anatomy, small: Mapping[str, Tensor], lists: Mapping[str, Part]
) -> Ticket:
    """A ticket that keeps, where a block lists its heads, these and not the first ones."""
    if not lists:
        return ticket
    masks = {kind: mask.copy() for kind, mask in ticket.masks.items()}
    for row, block in enumerate(dense.attention):
        for part in untied(block).parts:
            if part.parameter in lists and part.unit_of.max() < block.units:
                masks["heads"][row] = False
                masks["heads"][row, part.unit_of[small[part.parameter].numpy()]] = True
    return Ticket.of(dense, masks, how="given")


def _spread(small: Tensor | None, size: int, dim: int, index: Tensor) -> Tensor | None:
    """Zeros of the larger size with the small tensor at `index` of a dimension; None where it does not fit."""
    if small is None or small.ndim <= dim or small.shape[dim] != index.shape[-1]:
        return None
    if index.ndim == 2:  # every expert has its own
        slices = [_spread(each, size, dim - 1, own) for each, own in zip(small, index, strict=True)]
        return torch.stack([each for each in slices if each is not None])
    shape = list(small.shape)
    shape[dim] = size
    return small.new_zeros(shape).index_copy(dim, index, small)
