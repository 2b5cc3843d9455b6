"""Every slice that pruning makes, by parameter; the same slices serve the optimizer's state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from earlybird.anatomy import Anatomy, AttentionBlock, Block
from earlybird.anatomy.blocks import Part
from earlybird.errors import InputError
from earlybird.ticket import Ticket
from earlybird.trajectory import Kind


@dataclass(frozen=True)
class Cut:
    """Keep `index` of dimension `dim` of the parameter at a path, e.g. `vit.layers.0.attention.q_proj.weight`."""

    parameter: str
    dim: int
    index: Tensor


def masked_blocks(anatomy: Anatomy, ticket: Ticket) -> list[tuple[Block, NDArray[np.bool_]]]:
    """The blocks that a ticket speaks of, each with its mask (units,).

    Raises:
        InputError: the ticket is for another model, or takes key/value groups apart.
    """
    ticket.check(anatomy)
    result: list[tuple[Block, NDArray[np.bool_]]] = []
    kinds: tuple[tuple[Kind, Sequence[Block]], ...] = (("heads", anatomy.attention), ("neurons", anatomy.mlp))
    for kind, blocks in kinds:
        if kind not in ticket.masks:
            continue
        rows = ticket.rows(anatomy, kind)
        result += [(blocks[row], mask[: blocks[row].units]) for row, mask in zip(rows, ticket.masks[kind], strict=True)]
    for block, mask in result:
        if isinstance(block, AttentionBlock) and block.groups < block.units:
            per_group = mask.reshape(block.groups, -1).sum(1)
            if len(set(per_group[per_group > 0].tolist())) > 1:
                raise InputError(
                    f"{block.name} shares keys and values: its {block.groups} groups of {block.heads_per_group} heads"
                    f" would keep {per_group.tolist()} heads; every group must keep equally many, or none"
                    ' (groups="whole" or groups="within")'
                )
    return result


def cuts(model: nn.Module, anatomy: Anatomy, ticket: Ticket) -> list[Cut]:
    """Every slice that pruning makes of the model's parameters and buffers.

    Raises:
        InputError: the ticket is for another model, or takes key/value groups apart.
    """
    found = [cut_of(part, block, mask) for block, mask in masked_blocks(anatomy, ticket) for part in block.parts]
    return [cut for cut in found if len(cut.index) < tensor_at(model, cut.parameter).shape[cut.dim]]


def cut_of(part: Part, block: Block, mask: NDArray[np.bool_]) -> Cut:
    """The slice of one part of a block."""
    return Cut(part.parameter, part.dim, torch.from_numpy(np.flatnonzero(block.kept(mask)[part.unit_of])))


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


def tensor_at(model: nn.Module, path: str) -> Tensor:
    """The parameter or buffer at a path."""
    owner, _, name = path.rpartition(".")
    found = getattr(model.get_submodule(owner), name)
    assert isinstance(found, Tensor)
    return found
