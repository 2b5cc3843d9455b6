"""The values between which a threshold lies, found without sorting a row."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# A row's sample and, of the row, the share that a bracket reaches on either side of the threshold.
_SAMPLE = 512
_REACH = 1 / 1000


def boundary(rows: NDArray[np.floating], pruned: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The largest of each row's `pruned` smallest values, and the smallest of the others; rows (..., n) -> twice (...).

    Finite values, 0 < pruned < n.
    """
    parted = np.partition(rows, pruned - 1, axis=-1)
    return parted[..., pruned - 1], np.asarray(parted[..., pruned:].min(-1))


class SuccessiveBoundary:
    """`boundary` of the rows of successive steps, each much like the one before.

    Near the last row's boundary a row is sorted, below that it is only counted. Where the boundary is not there, it is
    looked for around that of a sample (Floyd and Rivest 1975, Communications of the ACM 18), then everywhere. What
    comes out depends on the row alone.
    """

    def __init__(self) -> None:
        self._bracket = (math.inf, -math.inf)

    def __call__(self, rows: NDArray[np.floating], pruned: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """As `boundary`, for rows (steps, n)."""
        pairs = np.array([self._next(row, pruned) for row in rows], dtype=rows.dtype).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def _next(self, row: NDArray[np.floating], pruned: int) -> tuple[float, float]:
        for low, high in self._brackets(row, pruned):
            inside = row >= low
            place = pruned - 1 - (len(row) - int(np.count_nonzero(inside)))
            inside &= row <= high
            near = np.sort(row[inside.nonzero()[0]])
            if 0 <= place < len(near) - 1:
                break
        below, above = float(near[place]), float(near[place + 1])
        reach = math.ceil(_REACH * len(row))
        width = float(near[min(place + 1 + reach, len(near) - 1)] - near[max(place - reach, 0)])
        self._bracket = (below - width, above + width)
        return below, above

    def _brackets(self, row: NDArray[np.floating], pruned: int) -> Iterator[tuple[float, float]]:
        yield self._bracket
        sample = np.sort(row[:: math.ceil(len(row) / _SAMPLE)])
        # Four standard deviations of the sample's rank at its widest.
        reach = math.ceil(2 * math.sqrt(len(sample)))
        middle = pruned * len(sample) // len(row)
        yield float(sample[max(0, middle - reach)]), float(sample[min(len(sample) - 1, middle + reach)])
        yield -math.inf, math.inf
