"""Slots: what of one kind is kept or pruned together where units pay for themselves by a budget.

A slot is a unit; where heads share keys and values a group of them, or one rank in all groups; and where a block keeps
multiples of a number of neurons, as many neurons of neighbouring rank.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from earlybird.masks.threshold import valid_units
from earlybird.masks.unit_groups import UnitGroups


class Slots(ABC):
    """The slots of one kind's blocks.

    Attributes:
        counts: slots of each block.
        costs: of each slot, (blocks, slots of the widest).
        ranked: whether a block's slots are ranks, of which a better one stays before a worse one.
    """

    counts: tuple[int, ...]
    costs: NDArray[np.float64]
    ranked: bool = False

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Where rows hold a slot and no padding, (blocks, slots of the widest)."""
        return valid_units(self.counts, self.costs.shape[1])

    @abstractmethod
    def gathered(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scores of units (blocks, units) -> the sums of the slots, (blocks, slots of the widest)."""

    @abstractmethod
    def spread(self, kept: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Masks of slots -> masks of units, of the same shape as the scores."""


class SingleUnits(Slots):
    """Every unit is a slot.

    Args:
        units: of each block.
        cost: of a unit of each block.
    """

    def __init__(self, units: Sequence[int], cost: Sequence[float]) -> None:
        self.counts = tuple(units)
        self.costs = np.repeat(np.asarray(cost, dtype=np.float64)[:, None], max(units), axis=1)

    def gathered(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """As they are."""
        return np.asarray(scores, dtype=np.float64)

    def spread(self, kept: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.bool_]:
        """As they are."""
        return kept


class GroupedUnits(Slots):
    """Heads that share keys and values, or neurons of experts that share a tensor.

    Args:
        groups_of: how they are pruned.
        units: of each block.
        groups: of each block.
        cost: of a unit of each block.
        group_cost: of a group of each block, beside its units; it is saved where a whole group goes.
    """

    def __init__(
        self,
        groups_of: UnitGroups,
        units: Sequence[int],
        groups: Sequence[int],
        cost: Sequence[float],
        group_cost: Sequence[float],
    ) -> None:
        self._groups_of = groups_of
        self.counts = groups_of.slots
        self._sizes = np.asarray(units)[:, None] // np.asarray(self.counts)[:, None]
        per_slot = self._sizes[:, 0] * np.asarray(cost) + np.where(groups_of.whole, np.asarray(group_cost), 0.0)
        self.costs = np.repeat(per_slot[:, None], max(self.counts), axis=1)

    def gathered(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """The sum of a slot's units."""
        return np.asarray(self._groups_of.gathered(scores) * self._sizes, dtype=np.float64)

    def spread(self, kept: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Every unit as its slot."""
        return self._groups_of.spread(kept, scores)


class Multiples(Slots):
    """As many units of neighbouring rank as every block keeps a multiple of; what exceeds a multiple is the lowest.

    Args:
        units: of each block.
        cost: of a unit of each block.
        size: of a slot.
    """

    ranked = True

    def __init__(self, units: Sequence[int], cost: Sequence[float], size: int) -> None:
        self._units = tuple(units)
        # A block of fewer units than a multiple stays whole: its only slot is its last.
        self._bounds: list[NDArray[np.int64]] = [
            np.r_[0, np.arange(n % size or min(size, n), n + 1, size)] if n else np.zeros(1, dtype=np.int64)
            for n in units
        ]
        self.counts = tuple(len(bounds) - 1 for bounds in self._bounds)
        self.costs = np.zeros((len(units), max(self.counts)))
        for row, bounds, each in zip(self.costs, self._bounds, cost, strict=True):
            row[: len(bounds) - 1] = np.diff(bounds) * each

    def gathered(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """The sums of ranks, from the lowest on."""
        result = np.zeros(self.costs.shape)
        for row, values, bounds, n in zip(result, scores, self._bounds, self._units, strict=True):
            if n:
                row[: len(bounds) - 1] = np.add.reduceat(np.sort(values[:n]).astype(np.float64), bounds[:-1])
        return result

    def spread(self, kept: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.bool_]:
        """The units of the ranks that are kept."""
        result = np.zeros(scores.shape, dtype=np.bool_)
        for mask, row, values, bounds, n in zip(result, kept, scores, self._bounds, self._units, strict=True):
            # Equal scores go in order of position, as everywhere.
            order = np.argsort(values[:n], kind="stable")
            mask[order] = np.repeat(row[: len(bounds) - 1], np.diff(bounds).astype(int))
        return result


class RoundedGroups(Slots):
    """Of grouped units as many slots of neighbouring rank as every group keeps a multiple of.

    Args:
        groups: of which the slots are.
        size: how many of them make one.
    """

    ranked = True

    def __init__(self, groups: GroupedUnits, size: int) -> None:
        self._groups = groups
        self._multiples = Multiples(groups.counts, [float(row[0]) for row in groups.costs], size)
        self.counts, self.costs = self._multiples.counts, self._multiples.costs

    def gathered(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """The sums of the groups' slots, from the lowest on."""
        return self._multiples.gathered(self._groups.gathered(scores))

    def spread(self, kept: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.bool_]:
        """The units of the slots that are kept."""
        return self._groups.spread(self._multiples.spread(kept, self._groups.gathered(scores)), scores)
