"""Masks at a budget: units of both kinds go by what they are worth for what they cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from earlybird.config import PruningConfig
from earlybird.errors import InputError
from earlybird.masks.knapsack import Choice, densest, equally_many
from earlybird.masks.rule import MaskRule, Prunable, checked_scores, rule_of
from earlybird.masks.selection import split
from earlybird.masks.slots import GroupedUnits, Multiples, RoundedGroups, SingleUnits, Slots
from earlybird.masks.threshold import Split, valid_units
from earlybird.masks.unit_costs import UnitCosts
from earlybird.masks.unit_groups import unit_groups
from earlybird.vocabulary import WEIGHED_KINDS, Kind

Number = TypeVar("Number", bound=np.generic)

# Of the interval in which a choice by curves is looked for: down to a thousandth of it.
_HALVINGS = 10


@dataclass(frozen=True)
class BudgetRule:
    """How the scores of all kinds together become masks whose blocks cost at most a share of what they did.

    Units go by ascending score per cost until the budget is met, and what then still fits is given back, the best
    first; every block keeps its best slot, unless blocks may go whole. That is the greedy answer to a knapsack: for
    scores that add up, such as squared gradients, no other choice that meets the budget is worth more by the score of
    one slot (Dantzig 1957, Operations Research 5). Where all blocks keep equally many, every pair of counts is tried.

    Scores and masks of all kinds are stacked: (..., blocks, units), the heads' blocks first, padded to the widest.

    Attributes:
        budget: the share of the blocks' cost that may be left, in (0, 1).
        costs: of the units.
        rules: of each kind, at ratio 0: units, groups, rounding, equal counts, whether blocks may go whole.

    Raises:
        InputError: a budget out of bounds, or below what every block's last units cost.
    """

    budget: float
    costs: UnitCosts
    rules: Mapping[Kind, MaskRule]

    def __post_init__(self) -> None:
        least = self.cost(self.stacked(self._spread(self._least(), self._zeros())))
        if self.budget >= least:
            return
        if self.costs.measure == "milliseconds":
            raise InputError(
                f"milliseconds={self.budget * self.costs.whole:.4g} is less than is possible: with the least that every"
                f" block keeps, a forward pass takes {math.ceil(least * self.costs.whole * 1e3) / 1e3} of"
                f" {self.costs.whole:.4g} milliseconds"
            )
        raise InputError(
            f"{self.costs.measure}={self.budget} is less than is possible: with the least that every block keeps,"
            f" the blocks cost {math.ceil(least * 1e4) / 1e4} of what they do now"
        )

    @property
    def units(self) -> tuple[int, ...]:
        """Of each block, the heads' first."""
        return tuple(units for rule in self.rules.values() for units in rule.units)

    @property
    def by_block(self) -> bool:
        """No block has a threshold of its own."""
        return False

    @property
    def grouped(self) -> bool:
        """Whether any units are ranked by the mean of their group."""
        return any(rule.grouped for rule in self.rules.values())

    def valid(self, width: int) -> NDArray[np.bool_]:
        """Where rows of `width` hold a unit and no padding, (blocks, width)."""
        return valid_units(self.units, width)

    def rows(self, kind: Kind) -> slice:
        """A kind's blocks among all."""
        kinds = list(self.rules)
        first = sum(len(self.rules[before].units) for before in kinds[: kinds.index(kind)])
        return slice(first, first + len(self.rules[kind].units))

    def stacked(self, values: Mapping[Kind, NDArray[Number]]) -> NDArray[Number]:
        """Values (..., blocks, units) of each kind as one array, (..., all blocks, units of the widest)."""
        each = [values[kind] for kind in self.rules]
        width = max(value.shape[-1] for value in each)
        padded = [np.pad(value, [(0, 0)] * (value.ndim - 1) + [(0, width - value.shape[-1])]) for value in each]
        return np.concatenate(padded, axis=-2)

    def by_kind(self, stacked: NDArray[np.bool_]) -> dict[Kind, NDArray[np.bool_]]:
        """Masks of all blocks as those of each kind."""
        return {kind: stacked[..., self.rows(kind), : max(rule.units, default=0)] for kind, rule in self.rules.items()}

    def masks(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """Masks of scores (..., blocks, units).

        Raises:
            InputError: a score is not finite, or the scores do not have the blocks' shape.
        """
        masks, _ = self.masks_and_ties(checked_scores(scores, self.units))
        return masks

    def masks_and_ties(
        self, scores: NDArray[np.floating], global_split: Split = split
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Masks of finite scores (..., blocks, units), and where a mask is an accident of position, (...)."""
        masks = np.zeros(scores.shape, dtype=np.bool_)
        tied = np.zeros(scores.shape[:-2], dtype=np.bool_)
        for place in np.ndindex(tied.shape):
            chosen = self._chosen_by(scores[place])
            masks[place], tied[place] = self.stacked(self._spread(chosen.kept, scores[place])), chosen.tied
        return masks, tied

    def cost(self, mask: NDArray[np.bool_]) -> float:
        """The share of the blocks' cost that is left by a mask (blocks, units)."""
        return float(self.costs.of(self.by_kind(mask), self._shared)) / self.costs.whole

    def by_chance(self, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The share of each kind's units that a random order to the cost of masks (..., blocks, units) keeps, (...)."""
        rest = self.costs.fixed + self._group_rest
        return (self.costs.of(self.by_kind(masks), self._shared) - rest) / (self._everything - rest)

    def random_masks(self, generator: np.random.Generator) -> NDArray[np.bool_]:
        """Masks whose slots go in a random order until the budget is met, (blocks, units)."""
        densities = [np.where(slots.valid, generator.random(slots.costs.shape), 2.0) for slots in self._slots.values()]
        densities = [
            np.sort(density, -1) if slots.ranked else density
            for density, slots in zip(densities, self._slots.values(), strict=True)
        ]
        chosen = self._chosen(
            [density * slots.costs for density, slots in zip(densities, self._slots.values(), strict=True)]
        )
        order = generator.random((len(self.units), max(self.units)))
        return np.asarray(self.stacked(self._spread(chosen.kept, order)), dtype=np.bool_)

    def kept_by_minimum(self, scores: NDArray[np.floating], mask: NDArray[np.bool_]) -> dict[Kind, tuple[int, ...]]:
        """Blocks of each kind that keep a slot only because none may lose its last one; none of a mask of other scores.

        Args:
            scores: (blocks, units).
            mask: (blocks, units).
        """
        chosen = self._chosen_by(scores)
        own = bool((self.stacked(self._spread(chosen.kept, scores)) == mask).all())
        return {
            kind: tuple(np.flatnonzero(each).tolist()) if own else ()
            for kind, each in zip(self.rules, chosen.spared, strict=True)
        }

    def place(self, row: int) -> tuple[Kind, int]:
        """The kind and the block of it that a row of stacked scores is of."""
        return next((kind, row - self.rows(kind).start) for kind in self.rules if row < self.rows(kind).stop)

    @cached_property
    def _slots(self) -> dict[Kind, Slots]:
        slots: dict[Kind, Slots] = {}
        for kind, rule in self.rules.items():
            cost = self.costs.units[kind]
            shared = unit_groups(rule.units, rule.groups, rule.kv_groups)
            if shared is not None and rule.groups is not None:
                own = self.costs.groups if kind == "heads" else (0.0,) * len(rule.units)
                grouped = GroupedUnits(shared, rule.units, rule.groups, cost, own)
                slots[kind] = grouped if rule.round_to == 1 else RoundedGroups(grouped, rule.round_to)
            elif rule.round_to > 1:
                slots[kind] = Multiples(rule.units, cost, rule.round_to)
            else:
                slots[kind] = SingleUnits(rule.units, cost)
        return slots

    @property
    def _shared(self) -> list[tuple[int, int]] | None:
        """Heads and groups of each attention block."""
        groups = self.rules["heads"].groups if "heads" in self.rules else None
        return None if groups is None else list(zip(self.rules["heads"].units, groups, strict=True))

    @property
    def _whole_blocks(self) -> bool:
        return all(rule.whole_blocks for rule in self.rules.values())

    def _zeros(self) -> NDArray[np.float64]:
        return np.zeros((len(self.units), max(self.units)))

    def _parts(self, scores: NDArray[np.floating]) -> list[tuple[Slots, NDArray[np.floating]]]:
        """Each kind's slots with its scores, (blocks, units)."""
        return [(slots, scores[self.rows(kind), : max(self.rules[kind].units)]) for kind, slots in self._slots.items()]

    def _spread(self, kept: Sequence[NDArray[np.bool_]], scores: NDArray[np.floating]) -> dict[Kind, NDArray[np.bool_]]:
        parts = zip(self._slots.items(), kept, self._parts(scores), strict=True)
        return {kind: slots.spread(each, part) for (kind, slots), each, (_, part) in parts}

    def _least(self) -> list[NDArray[np.bool_]]:
        """The slots that are always kept, whatever the scores: one of each block, or the least count that is valid."""
        kept = []
        for slots, counts in zip(self._slots.values(), self._counts(), strict=True):
            least = 0 if self._whole_blocks else counts[0]
            last = slots.valid & (np.arange(slots.costs.shape[1]) >= np.asarray(slots.counts)[:, None] - least)
            kept.append(last)
        return kept

    def _counts(self) -> list[Sequence[int]]:
        """Of each kind the numbers of slots that a block may keep, where all keep as many; else 1 and more."""
        counts: list[Sequence[int]] = []
        for rule, slots in zip(self.rules.values(), self._slots.values(), strict=True):
            smallest = min((count for count in slots.counts if count), default=0)
            shared = unit_groups(rule.units, rule.groups, rule.kv_groups)
            valid = rule.valid_counts if shared is None else shared.valid_slots(rule.valid_counts)
            some = [count for count in sorted(valid or ()) if count <= smallest] if rule.uniform else []
            counts.append(some or range(1, smallest + 1))
        return counts

    def _chosen_by(self, scores: NDArray[np.floating]) -> Choice:
        """By the scores of units, (blocks, units)."""
        return self._chosen([slots.gathered(part) for slots, part in self._parts(scores)])

    def _chosen(self, worth: Sequence[NDArray[np.float64]]) -> Choice:
        """By the worth of each kind's slots, (blocks, slots)."""
        slots = list(self._slots.values())
        counts = self._counts() if any(rule.uniform for rule in self.rules.values()) else None

        def choice(allowed: float) -> Choice:
            if counts is not None:
                return equally_many(worth, slots, counts, allowed)
            return densest(worth, slots, allowed, whole_blocks=self._whole_blocks)

        if self.costs.curves is None:
            return choice(self.budget * self.costs.whole - self.costs.fixed - self._group_rest)
        return self._on_curves(choice)

    def _on_curves(self, choice: Callable[[float], Choice]) -> Choice:
        """The most that costs no more by the curves, of choices by what units cost on average."""
        # What the least costs by units, which every choice has to allow, and all of them.
        slots = self._slots.values()
        least = sum(float(each.costs[kept].sum()) for each, kept in zip(slots, self._least(), strict=True))
        most = sum(float(each.costs[each.valid].sum()) for each in slots)
        best = choice(least)
        for _ in range(_HALVINGS):
            allowed = (least + most) / 2
            chosen = choice(allowed)
            if self.cost(self.stacked(self._spread(chosen.kept, self._zeros()))) <= self.budget:
                least, best = allowed, chosen
            else:
                most = allowed
        return best

    @cached_property
    def _everything(self) -> float:
        """What all units cost, with what is fixed."""
        whole = {kind: valid_units(rule.units, max(rule.units)) for kind, rule in self.rules.items()}
        return float(self.costs.of(whole, self._shared))

    @cached_property
    def _group_rest(self) -> float:
        """What key/value groups cost that no slot takes along."""
        slots = sum(float(each.costs[each.valid].sum()) for each in self._slots.values())
        return self._everything - self.costs.fixed - slots


def budget_rule(config: PruningConfig, source: Prunable, costs: UnitCosts | None = None) -> BudgetRule | None:
    """The rule of all kinds that a config's budget asks for; None where it has ratios.

    Args:
        config: the budget, and what holds of the masks.
        source: of the units.
        costs: of them, where the source does not know.

    Raises:
        InputError: a budget below the least that is possible, or costs that nobody knows.
    """
    if config.budget is None:
        return None
    measure, budget = config.budget
    if costs is None:
        costs = source.unit_costs(measure, config.tokens)
    elif not costs.counted_as(measure, config.tokens):
        raise InputError(f"{measure}={budget} was given costs in {costs.counted}: give those that the budget counts")
    if measure == "milliseconds":
        if budget >= costs.whole:
            raise InputError(
                f"milliseconds={budget} is met as it is: a forward pass takes {costs.whole:.4g}; to prune nothing leave"
                " it out"
            )
        budget = budget / costs.whole
    kinds = [kind for kind in WEIGHED_KINDS if any(source.units.get(kind, ()))]
    if lacking := [kind for kind in costs.units if kind not in kinds]:
        raise InputError(
            f"{measure}={budget} is met by units of all kinds, and the search has recorded no {lacking[0]}: search with"
            " a budget, or with a ratio for each kind"
        )
    return BudgetRule(budget, costs, {kind: rule_of(kind, 0.0, config, source) for kind in kinds})
