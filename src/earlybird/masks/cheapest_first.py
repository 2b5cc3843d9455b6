"""An order by density that is sorted only near the place where enough has been spent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Densities of a sample, between two of which the place lies, and how many of them below it are sorted, too.
_SAMPLE = 512
_REACH = 16


@dataclass(frozen=True)
class Order:
    """Items in ascending order of density, equal ones in that of position, as far as they are sorted.

    Attributes:
        items: all of them; those before `first` are less dense than those from there on, and not sorted.
        first: where the sorted part begins; what follows it is denser.
        count: how many items, from the least dense on, cost at least what was asked for.
        spent: what these cost.
    """

    items: NDArray[np.int64]
    first: int
    count: int
    spent: float


def cheapest_first(density: NDArray[np.float64], cost: NDArray[np.float64], enough: float) -> Order:
    """The order of items up to the place where they cost `enough`, above 0 and at most what all cost."""
    low, high = _around(density, cost, enough)
    below, near = density < low, (density >= low) & (density <= high)
    sorted_part = near.nonzero()[0]
    sorted_part = sorted_part[np.argsort(density[sorted_part], kind="stable")]
    items = np.concatenate([below.nonzero()[0], sorted_part, (density > high).nonzero()[0]])
    first = len(items) - len(sorted_part) - int((density > high).sum())
    spent = float(cost[below].sum()) + np.cumsum(cost[sorted_part])
    place = int(np.searchsorted(spent, enough))
    return Order(items, first, first + place + 1, float(spent[place]))


def _around(density: NDArray[np.float64], cost: NDArray[np.float64], enough: float) -> tuple[float, float]:
    """Two densities: what is below the first costs less than `enough`, what is up to the second at least that."""
    if len(density) <= 4 * _SAMPLE:
        return -np.inf, np.inf
    sample = np.sort(density[:: -(-len(density) // _SAMPLE)])
    below, above = -1, len(sample)
    while above - below > 1:
        middle = (below + above) // 2
        if float(cost @ (density <= sample[middle])) < enough:
            below = middle
        else:
            above = middle
    low = sample[below - _REACH] if below >= _REACH else -np.inf
    return float(low), float(sample[above]) if above < len(sample) else np.inf
