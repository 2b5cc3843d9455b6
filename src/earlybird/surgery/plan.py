"""Everything that pruning does to a model, decided before anything is touched."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earlybird.anatomy import Anatomy, AttentionBlock, Block, MlpBlock
from earlybird.anatomy.bias_tables import copied_table, untied
from earlybird.anatomy.blocks import Mixture
from earlybird.anatomy.paths import is_in
from earlybird.errors import InputError
from earlybird.ticket import Ticket
from earlybird.vocabulary import Kind

B = TypeVar("B", bound=Block | Mixture)


@dataclass(frozen=True)
class Cut:
    """Keep `index` of dimension `dim` of the parameter at a path, e.g. `vit.layers.0.attention.q_proj.weight`.

    Attributes:
        parameter: the path.
        dim: the dimension.
        index: (kept,) int64; of the experts of a mixture (experts, kept), each slice's own along dimension 0.
    """

    parameter: str
    dim: int
    index: Tensor

    def of(self, tensor: Tensor) -> Tensor:
        """What is kept of a tensor of the parameter's shape."""
        index = self.index.to(tensor.device)
        if index.ndim == 1:
            return tensor.index_select(self.dim, index)
        slices = zip(tensor, index, strict=True)
        return torch.stack([each.index_select(self.dim - 1, own) for each, own in slices])


@dataclass(frozen=True, eq=False)
class SurgeryPlan:
    """What is done to a model, in this order: position biases untied, parameters cut, heads counted anew.

    Attributes:
        blocks: all blocks of the model, as they are once position biases are untied, each with its mask
            (units,); all True where the ticket does not speak of it.
        untied: attention blocks, as they are before, whose position bias must not depend on the heads that other
            layers keep.
        copies: parameters that they get by it as copies of others: name -> name of the original.
        cuts: of parameters and buffers, also of those that come by untying; only those that remove something.
        mixtures: of which experts go, each with its mask (experts,); their neurons go by `blocks`.
        all_mixtures: of the model.
    """

    blocks: tuple[tuple[Block, NDArray[np.bool_]], ...]
    untied: tuple[AttentionBlock, ...]
    copies: Mapping[str, str]
    cuts: tuple[Cut, ...]
    mixtures: tuple[tuple[Mixture, NDArray[np.bool_]], ...] = ()
    all_mixtures: tuple[Mixture, ...] = ()

    @property
    def changed(self) -> list[tuple[Block, NDArray[np.bool_]]]:
        """The blocks that lose units, each with its mask (units,)."""
        return [(block, mask) for block, mask in self.blocks if not mask.all()]

    @property
    def emptied(self) -> list[Block]:
        """The blocks that lose their last unit."""
        return [block for block, mask in self.blocks if not mask.any()]


def plan_surgery(anatomy: Anatomy, ticket: Ticket) -> SurgeryPlan:
    """Plan what makes a model as small as a ticket says.

    Args:
        anatomy: of the model as it is.
        ticket: which units stay.

    Raises:
        InputError: it is no ticket, or one for another model, or it takes key/value groups apart, or leaves a router
            fewer experts than it works with.
    """
    if not isinstance(ticket, Ticket):
        raise InputError(
            f"ticket must be a Ticket, got {reprlib.repr(ticket)}: a saved one is read by Ticket.load(path), a random"
            " one made by Ticket.random(Anatomy.of(model), PruningConfig(heads=0.3)), and a search draws one"
        )
    heads = _masked(anatomy.attention, "heads", anatomy, ticket)
    neurons = _masked(anatomy.mlp, "neurons", anatomy, ticket)
    for block, mask in heads:
        _refuse_uneven_groups(block, mask)
    mixtures = [
        (block, mask) for block, mask in _masked(anatomy.mixtures, "experts", anatomy, ticket) if not mask.all()
    ]
    experts = {block.name: mask for block, mask in mixtures}
    neurons = [(mlp, _without_experts(mlp, mask, experts.get(mlp.name))) for mlp, mask in neurons]
    for mixture, mask in mixtures:
        _refuse_too_few_experts(mixture, mask)
    for mlp, mask in neurons:
        _refuse_uneven_experts(mlp, mask, experts.get(mlp.name))
    loses_heads = any(not mask.all() for _, mask in heads)
    apart = tuple(block for block in anatomy.attention if block.bias_argument) if loses_heads else ()
    if loses_heads:
        heads = [(untied(block), mask) for block, mask in heads]
    blocks: tuple[tuple[Block, NDArray[np.bool_]], ...] = (*heads, *neurons)
    return SurgeryPlan(
        blocks=blocks,
        untied=apart,
        copies=dict(copied for block in apart if (copied := copied_table(block)) is not None),
        cuts=(
            *(cut for mixture, mask in mixtures for cut in _cuts_of_experts(mixture, mask)),
            *(cut for block, mask in blocks for cut in _cuts(block, mask, experts.get(block.name))),
        ),
        mixtures=tuple(mixtures),
        all_mixtures=anatomy.mixtures,
    )


def unread(block: Block) -> list[str]:
    """Parameters beside an attention that nothing reads once it has no head, and that are not cut then.

    The module that holds them is still run, and may not be able to without a head (BEiT's position bias).
    """
    if not isinstance(block, AttentionBlock):
        return []
    own = (block.owner, block.query, block.key, block.value, block.output)
    return [part.parameter for part in block.parts if not any(is_in(part.parameter, path) for path in own)]


def _masked(blocks: Sequence[B], kind: Kind, anatomy: Anatomy, ticket: Ticket) -> list[tuple[B, NDArray[np.bool_]]]:
    """Blocks of a kind, each with its mask."""
    masks = [np.ones(block.units, dtype=np.bool_) for block in blocks]
    if kind in ticket.masks:
        for row, mask in zip(ticket.rows(anatomy, kind), ticket.masks[kind], strict=True):
            masks[row] = mask[: blocks[row].units]
    return list(zip(blocks, masks, strict=True))


def _refuse_uneven_groups(block: AttentionBlock, mask: NDArray[np.bool_]) -> None:
    per_group = mask.reshape(block.groups, -1).sum(1)
    if block.groups < block.units and len(set(per_group[per_group > 0].tolist())) > 1:
        raise InputError(
            f"{block.name} shares keys and values: its {block.groups} groups of {block.heads_per_group} heads"
            f" would keep {per_group.tolist()} heads; every group must keep equally many, or none"
            ' (kv_groups="whole" or kv_groups="within")'
        )


def _without_experts(block: MlpBlock, mask: NDArray[np.bool_], experts: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """A mask of neurons without those of the experts that go."""
    return mask if experts is None else mask & np.repeat(experts, block.units // block.experts)


def _refuse_too_few_experts(block: Mixture, mask: NDArray[np.bool_]) -> None:
    left = int(mask.sum())
    if left < block.least:
        raise InputError(
            f"the ticket leaves {left} of {block.units} experts in {block.name}, and the router picks among at least"
            f" {block.least} for every token"
        )
    per_group = mask.reshape(block.routing_groups, -1).sum(1)
    if block.routing_groups < block.units and per_group.min() != per_group.max():
        raise InputError(
            f"the router of {block.name} compares {block.routing_groups} groups of experts, which would keep"
            f" {per_group.tolist()}: every group must keep equally many"
        )


def _refuse_uneven_experts(block: MlpBlock, mask: NDArray[np.bool_], experts: NDArray[np.bool_] | None) -> None:
    if not block.experts:
        return
    per_expert = mask.reshape(block.experts, -1).sum(1)
    stays = per_expert if experts is None else per_expert[experts]
    if stays.min() != stays.max() or not stays.min():
        raise InputError(
            f"{block.name} holds {block.experts} experts in one tensor, which would keep {per_expert.tolist()} neurons:"
            " every expert must keep equally many, and at least one"
        )


def _cuts_of_experts(mixture: Mixture, mask: NDArray[np.bool_]) -> list[Cut]:
    kept = torch.from_numpy(np.flatnonzero(mask))
    return [Cut(part.parameter, part.dim, kept) for part in mixture.parts]


def _cuts(block: Block, mask: NDArray[np.bool_], experts: NDArray[np.bool_] | None) -> list[Cut]:
    """The cuts of a block, of experts those of the neurons of such as stay."""
    stays = block.kept(mask)
    stay_whole = unread(block) if not mask.any() else []
    kept = [(part, stays[part.unit_of]) for part in block.parts if part.parameter not in stay_whole]
    if experts is not None:
        kept = [(part, entries[experts]) for part, entries in kept]
    if isinstance(block, AttentionBlock):
        kept += [(part, np.full(len(part.unit_of), mask.any())) for part in block.shared_parts]
    return [
        Cut(part.parameter, part.dim, torch.from_numpy(_places(entries))) for part, entries in kept if not entries.all()
    ]


def _places(entries: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where entries are kept, (kept,), or of each slice's (slices, kept)."""
    if entries.ndim == 1:
        return np.flatnonzero(entries)
    return np.stack([np.flatnonzero(own) for own in entries])
