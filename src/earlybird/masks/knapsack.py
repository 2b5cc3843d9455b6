"""Which slots are worth keeping for what they may cost together: the greedy answer to a knapsack, and equal counts.

Shapes: of every kind worth and costs are (blocks, slots of the widest).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from earlybird.masks.cheapest_first import Order, cheapest_first
from earlybird.masks.slots import Slots
from earlybird.masks.threshold import is_tied

# A sum's last digits are no reason to prune one unit more.
_ROUNDING = 1e-9


Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True)
class Choice:
    """The slots of each kind, (blocks, slots of the widest), in the order of the kinds.

    Attributes:
        kept: which of them.
        tied: whether that is an accident of position.
        spared: blocks (blocks,) that keep a slot only because none may lose its last one.
    """

    kept: list[NDArray[np.bool_]]
    tied: bool
    spared: list[NDArray[np.bool_]]


def densest(
    worth: Sequence[NDArray[np.float64]], kinds: Sequence[Slots], allowed: float, *, whole_blocks: bool = False
) -> Choice:
    """The slots of most worth for their cost (Dantzig 1957, Operations Research 5).

    Unless blocks may go whole, the best slot of every block stays.

    Slots go by ascending worth per cost until the others cost at most `allowed`; what then still fits is given back,
    the best first.
    """
    densities = [value / np.where(each.valid, each.costs, 1.0) for value, each in zip(worth, kinds, strict=True)]
    # Of equal units a mean may be less by a last digit than that of the ranks below.
    densities = [
        np.maximum.accumulate(density, -1) if each.ranked else density
        for density, each in zip(densities, kinds, strict=True)
    ]
    best = [
        _last_largest(density, each.valid & (not whole_blocks)) for density, each in zip(densities, kinds, strict=True)
    ]
    density, cost = _flat(densities), _flat([each.costs for each in kinds])
    kept = _flat([each.valid for each in kinds])
    free = (kept & ~_flat(best)).nonzero()[0]
    whole = float(cost[kept].sum())
    excess = whole - allowed - _ROUNDING * whole
    tied, threshold = False, -math.inf
    if excess > 0:
        order = cheapest_first(density[free], cost[free], excess)
        pruned = free[order.items[: order.count]]
        kept[pruned] = False
        threshold = float(density[pruned[-1]])
        after = density[free[order.items[order.count]]] if order.count < len(free) else math.inf
        tied = bool(after == threshold) and is_tied(int((density[free] == threshold).sum()), len(free))
        _give_back(kept, pruned, order, density, cost, _blocks(kinds), order.spent - excess)
    bounds = np.cumsum([each.costs.size for each in kinds])[:-1]
    masks: list[NDArray[np.bool_]] = [
        part.reshape(each.costs.shape) for part, each in zip(np.split(kept, bounds), kinds, strict=True)
    ]
    spared = [np.asarray((last & (each < threshold)).any(-1)) for last, each in zip(best, densities, strict=True)]
    return Choice(masks, tied, spared)


def equally_many(
    worth: Sequence[NDArray[np.float64]], kinds: Sequence[Slots], counts: Sequence[Sequence[int]], allowed: float
) -> Choice:
    """The same number of slots in every block of a kind: the numbers that are worth most, of equals the dearest.

    Args:
        worth: of the slots of each kind.
        kinds: their slots.
        counts: the numbers that each kind may keep, of which the least ones together cost at most `allowed`.
        allowed: what the kept slots may cost together.
    """
    total, price = np.zeros(()), np.zeros(())
    ranked: list[NDArray[np.float64]] = []
    ranks: list[NDArray[np.int64]] = []
    for value, slots, some in zip(worth, kinds, counts, strict=True):
        # The best first; equal ones go in order of position, the later are better, as everywhere.
        order = np.argsort(np.where(slots.valid, value, -np.inf), -1, kind="stable")[:, ::-1]
        ranked.append(np.take_along_axis(value, order, -1))
        ranks.append(np.argsort(order, -1))
        last = np.asarray(some) - 1
        totals, prices = (
            np.cumsum(each, -1)[:, last].sum(0) for each in (ranked[-1], np.take_along_axis(slots.costs, order, -1))
        )
        total, price = np.add.outer(total, totals), np.add.outer(price, prices)
    total = np.where(price <= allowed + _ROUNDING * price.max(), total, -np.inf)
    as_good = total >= total.max() * (1 - 1e-12)
    place = np.unravel_index(np.argmax(np.where(as_good, price, -np.inf)), total.shape)
    chosen = [some[int(here)] for here, some in zip(place, counts, strict=True)]
    kept = [slots.valid & (rank < count) for slots, rank, count in zip(kinds, ranks, chosen, strict=True)]
    tied = any(
        0 < count < n and row[count - 1] == row[count] and is_tied(int((row[:n] == row[count]).sum()), n)
        for rows, slots, count in zip(ranked, kinds, chosen, strict=True)
        for row, n in zip(rows, slots.counts, strict=True)
    )
    return Choice(kept, tied, [np.zeros(len(each), dtype=np.bool_) for each in worth])


def _give_back(
    kept: NDArray[np.bool_],
    pruned: NDArray[np.int64],
    order: Order,
    density: NDArray[np.float64],
    cost: NDArray[np.float64],
    blocks: NDArray[np.int64],
    left: float,
) -> None:
    """Keep what still fits of the pruned slots, the best first; in no block a worse one before a better."""
    smallest = float(cost[pruned].min())
    closed: set[int] = set()
    # What lies before the sorted part is seldom reached, and sorted then.
    for before in (False, True):
        part = pruned[: order.first] if before else pruned[order.first :]
        if left < smallest:
            return
        ordered = part[np.argsort(density[part], kind="stable")] if before else part
        for slot in ordered[::-1].tolist():
            if left < smallest:
                return
            if cost[slot] <= left and int(blocks[slot]) not in closed:
                kept[slot] = True
                left -= cost[slot]
            else:
                closed.add(int(blocks[slot]))


def _blocks(kinds: Sequence[Slots]) -> NDArray[np.int64]:
    """The block of each slot, padding too, as the slots' tables lie one after the other."""
    widths = [each.costs.shape[1] for each in kinds for _ in each.counts]
    return np.repeat(np.arange(len(widths)), widths)


def _flat(tables: Sequence[NDArray[Number]]) -> NDArray[Number]:
    """All entries, one table after the other."""
    return np.concatenate([table.ravel() for table in tables])


def _last_largest(values: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of each row the largest valid value, the last of equal ones, (blocks, slots) bool."""
    ranked = np.where(valid, values, -np.inf)
    place = values.shape[1] - 1 - np.argmax(ranked[:, ::-1], axis=1)
    return np.asarray(valid & (np.arange(values.shape[1]) == place[:, None]))
