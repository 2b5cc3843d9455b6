"""Units in groups: what is pruned together so that every group keeps a shape that works.

Groups are heads that share keys and values, and the experts of a mixture that are stored as one tensor.

Pruning a query head saves its key and value only when its whole group goes, and a group that keeps other heads
than its neighbours breaks the attention's shape. So heads are pruned either group by group ("whole": the groups
are ranked by the mean score of their heads), or equally many in every group ("within": the weakest heads of all
groups together, then the second weakest of all, ranked by their mean score). Both are masks over *slots*: a slot
is a group, or one rank in all groups. Experts all stay, and keep equally many neurons each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from earlybird.errors import InputError
from earlybird.vocabulary import KvGroups

# From so many groups on, whole groups are pruned by default: fewer leave too little choice, and one none at all.
_ENOUGH_GROUPS = 4


class UnitGroups:
    """Groups of each block, and how their units are pruned.

    Args:
        units: of each block.
        groups: of each block; as many as units where each is alone.
        how: "whole", "within", or None for whole where there are at least four groups and within otherwise.

    Raises:
        InputError: groups that do not divide the units.
    """

    def __init__(self, units: Sequence[int], groups: Sequence[int], how: KvGroups | None = None) -> None:
        if len(units) != len(groups) or any(g < 1 or n % g for n, g in zip(units, groups, strict=False)):
            raise InputError(f"{list(groups)} groups do not divide blocks of {list(units)} units")
        self._blocks = [
            (n, g, g == n or (how or ("whole" if g >= _ENOUGH_GROUPS else "within")) == "whole")
            for n, g in zip(units, groups, strict=True)
        ]

    @property
    def slots(self) -> tuple[int, ...]:
        """Slots of each block: groups, or units of a group."""
        return tuple(g if whole else n // g for n, g, whole in self._blocks)

    @property
    def whole(self) -> tuple[bool, ...]:
        """Of each block, whether its slots are groups."""
        return tuple(whole for _, _, whole in self._blocks)

    def valid_slots(self, heads: Sequence[int] | None) -> tuple[int, ...] | None:
        """Valid numbers of heads -> of slots; None: any. Numbers that no whole slots make are left out."""
        if heads is None:
            return None
        n, _, _ = self._blocks[0]
        size = n // self.slots[0]
        return tuple(count // size for count in heads if count % size == 0) or None

    def gathered(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """Scores of units (..., layers, units) -> of slots (..., layers, widest block's slots)."""
        result = np.zeros((*scores.shape[:-1], max(self.slots)), dtype=scores.dtype)
        for block, ((n, g, whole), slots) in enumerate(zip(self._blocks, self.slots, strict=True)):
            by_group = scores[..., block, :n].reshape(*scores.shape[:-2], g, n // g)
            result[..., block, :slots] = by_group.mean(-1) if whole else np.sort(by_group, -1).mean(-2)
        return result

    def spread(self, kept: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Masks of slots -> masks of units, of the same shape as the scores."""
        result = np.zeros(scores.shape, dtype=np.bool_)
        for block, ((n, g, whole), slots) in enumerate(zip(self._blocks, self.slots, strict=True)):
            here = kept[..., block, :slots]
            if whole:
                result[..., block, :n] = np.repeat(here, n // g, -1)
                continue
            by_group = scores[..., block, :n].reshape(*scores.shape[:-2], g, n // g)
            # Equal scores go in order of position, as everywhere.
            rank = np.argsort(np.argsort(by_group, -1, kind="stable"), -1, kind="stable")
            flat = np.take_along_axis(here[..., None, :], rank, -1)
            result[..., block, :n] = flat.reshape(*scores.shape[:-2], n)
        return result


def unit_groups(
    units: Sequence[int] | None, groups_of: Sequence[int] | None, how: KvGroups | None
) -> UnitGroups | None:
    """The groups to respect, or None where every unit is alone."""
    if groups_of is None or units is None or tuple(units) == tuple(groups_of):
        return None
    return UnitGroups(units, groups_of, how)
