"""Silencing the pruned units of a model (`apply_mask`) and removing them (`prune`)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from earlybird.anatomy import Anatomy, AttentionBlock
from earlybird.errors import InputError
from earlybird.pruned_shape import record_shape
from earlybird.scaling import is_scaled
from earlybird.ticket import Ticket

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Cut:
    """Keep `index` of dimension `dim` of the parameter at a path, e.g. `vit.layers.0.attention.q_proj.weight`."""

    parameter: str
    dim: int
    index: Tensor


def cuts(model: nn.Module, anatomy: Anatomy, ticket: Ticket) -> list[Cut]:
    """Every slice that pruning makes, by parameter; the same slices serve the optimizer's state.

    Heads: rows of query, key and value, columns of the output projection. Neurons: rows of the input
    projection, columns of the output projection.

    Raises:
        InputError: the ticket is for another model.
    """
    ticket.check(anatomy)
    modules = dict(model.named_modules())
    result: list[Cut] = []

    def rows(path: str, index: Tensor) -> None:
        result.append(Cut(f"{path}.weight", 0, index))
        if modules[path].bias is not None:
            result.append(Cut(f"{path}.bias", 0, index))

    if "heads" in ticket.masks:
        for head_block, mask in zip(anatomy.attention, ticket.masks["heads"], strict=True):
            index = _features(mask[: head_block.units], head_block.unit_size)
            for path in (head_block.query, head_block.key, head_block.value):
                rows(path, index)
            result.append(Cut(f"{head_block.output}.weight", 1, index))
    if "neurons" in ticket.masks:
        for mlp_block, mask in zip(anatomy.mlp, ticket.masks["neurons"], strict=True):
            index = _features(mask[: mlp_block.units], 1)
            rows(mlp_block.input, index)
            result.append(Cut(f"{mlp_block.output}.weight", 1, index))
    return [cut for cut in result if len(cut.index) < _size(model, cut)]


def apply_mask(model: Model, ticket: Ticket) -> Model:
    """Silence the pruned units in place: same shapes, they contribute exactly 0; returns the model.

    Zeroes the columns of the output projections that the pruned units feed.

    Raises:
        InputError: the ticket is for another model.
    """
    _refuse_while_slimming(model)
    outputs = [cut for cut in cuts(model, Anatomy.of(model), ticket) if cut.dim == 1]
    with torch.no_grad():
        for cut in outputs:
            weight = model.get_parameter(cut.parameter)
            kept = torch.zeros(weight.shape[1], dtype=torch.bool)
            kept[cut.index] = True
            weight[:, (~kept).to(weight.device)] = 0
    return model


def prune(model: Model, ticket: Ticket) -> Model:
    """Remove the pruned units in place; returns the model, physically smaller.

    Everything is checked before the first parameter is touched, so a refusal leaves the model as it was. The config
    of a Hugging Face model then says the new shape, so that whatever saves the model writes one that loads.
    Optimizers that hold the model's parameters must be made anew: they still hold the old ones.

    Raises:
        InputError: the ticket is for another model, or a search is still attached to this one.
    """
    _refuse_while_slimming(model)
    anatomy = Anatomy.of(model)
    for cut in cuts(model, anatomy, ticket):
        owner, _, name = cut.parameter.rpartition(".")
        module, old = model.get_submodule(owner), model.get_parameter(cut.parameter)
        kept = old.detach().index_select(cut.dim, cut.index.to(old.device)).clone()
        setattr(module, name, nn.Parameter(kept, requires_grad=old.requires_grad))
        if isinstance(module, nn.Linear) and name == "weight":
            module.out_features, module.in_features = kept.shape
    if "heads" in ticket.masks:
        for block, kept_heads in zip(anatomy.attention, ticket.kept("heads"), strict=True):
            _set_head_count(model, block, kept_heads)
    record_shape(model, Anatomy.of(model))
    return model


def verify(model: nn.Module, ticket: Ticket, inputs: Mapping[str, Any] | Tensor) -> float:
    """Largest absolute difference between the masked and the pruned model's outputs; the model is unchanged.

    Args:
        model: as it is before pruning.
        ticket: the ticket to try.
        inputs: keyword arguments of the model's forward pass, or its one tensor.
    """
    outputs = []
    for operation in (apply_mask, prune):
        changed = operation(copy.deepcopy(model), ticket).eval()
        with torch.no_grad():
            result = changed(**inputs) if isinstance(inputs, Mapping) else changed(inputs)
        outputs.append(_tensors(result))
    masked, pruned = outputs
    return max(float((a - b).abs().max()) for a, b in zip(masked, pruned, strict=True))


def slice_state(state: Mapping[str, Mapping[str, Tensor]], slices: list[Cut]) -> dict[str, dict[str, Tensor]]:
    """Optimizer state by parameter name, sliced as the parameters were.

    Args:
        state: parameter name -> state name -> tensor; what has no dimension (step counts) stays as it is.
        slices: from `cuts`, of the model before pruning.
    """
    result = {name: dict(entries) for name, entries in state.items()}
    for cut in slices:
        for key, value in result.get(cut.parameter, {}).items():
            if value.ndim > cut.dim:
                result[cut.parameter][key] = value.index_select(cut.dim, cut.index.to(value.device)).clone()
    return result


def _refuse_while_slimming(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if is_scaled(module):
            raise InputError(
                f"slimming coefficients are still attached to {name}: call the search's finish() first (it folds"
                " them into the weights), or detach() (it drops them)"
            )


def _features(mask: NDArray[np.bool_], unit_size: int) -> Tensor:
    """Indices of the features of the kept units."""
    return torch.from_numpy(np.flatnonzero(np.repeat(mask, unit_size)))


def _size(model: nn.Module, cut: Cut) -> int:
    return model.get_parameter(cut.parameter).shape[cut.dim]


def _set_head_count(model: nn.Module, block: AttentionBlock, heads: int) -> None:
    for path in block.head_counts:
        owner, _, attribute = path.rpartition(".")
        setattr(model.get_submodule(owner), attribute, heads)
    for owner in {path.rpartition(".")[0] for path in block.head_counts}:
        if hasattr(model.get_submodule(owner), "all_head_size"):
            setattr(model.get_submodule(owner), "all_head_size", heads * block.unit_size)  # noqa: B010


def _tensors(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    values = result.values() if isinstance(result, Mapping) else result
    return [value for value in values if isinstance(value, Tensor)]
