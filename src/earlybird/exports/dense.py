"""The original shape of a pruned model, with zeros where units were removed."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from earlybird.anatomy import Anatomy
from earlybird.anatomy.config_fields import CannotSayError
from earlybird.checkpoint.model_files import moved_in_together
from earlybird.errors import InputError
from earlybird.exports.foreign import refuse_own_mathematics
from earlybird.surgery.plain_config import dense_config
from earlybird.surgery.plan import plan_surgery
from earlybird.surgery.pruned_shape import PrunedShape, ticket_of_shape
from earlybird.ticket import Ticket


def write_dense(model: PreTrainedModel, directory: Path, ticket: Ticket | None = None) -> None:
    """Save a model of the original shape that computes what a pruned one computes.

    Raises:
        InputError: the ticket is not the one by which the model was pruned, or pruning gave the layers parts of
            their own (position biases of the heads kept).
    """
    refuse_own_mathematics(model)
    dense = dense_model(model, ticket)
    with moved_in_together(directory) as aside:
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
    if ticket is None:
        shape = PrunedShape.of(pruned)
        ticket = ticket_of_shape(anatomy, shape.kept, shape.key_value_groups, shape.blocks)
    small = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    if own := sorted(small.keys() - dense.state_dict().keys()):
        raise InputError(
            f"the dense model cannot be made: {own[0]} came with the heads kept, and the original shape has no place"
            " for it"
        )
    plan = plan_surgery(anatomy, ticket)
    large: dict[str, Tensor] = {}
    for name, value in dense.state_dict().items():
        content = small.get(name)
        for cut in reversed([cut for cut in plan.cuts if cut.parameter == name]):
            content = _spread(content, value.shape[cut.dim], cut.dim, cut.index)
        if content is None or content.shape != value.shape:
            raise InputError(
                f"the dense model cannot be made: {name} does not fit the ticket, which is not the one by which the"
                " model was pruned"
            )
        large[name] = content
    # The tensors themselves, so that each keeps its type.
    dense.load_state_dict(large, assign=True)
    dense.tie_weights()
    if getattr(model, "generation_config", None) is not None:
        dense.generation_config = copy.deepcopy(model.generation_config)
    return dense


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
