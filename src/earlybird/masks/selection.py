"""Rows split at a threshold that is found without sorting them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# A row's sample and, of the row, the share that a bracket reaches on either side of the threshold.
_SAMPLE = 512
_REACH = 1 / 1000


def split(
    rows: NDArray[np.floating], pruned: int
) -> tuple[NDArray[np.bool_], NDArray[np.floating], NDArray[np.floating]]:
    """Each row's values above the largest of its `pruned` smallest; rows (..., n), finite, with 0 < pruned < n.

    Returns:
        Which are above it, bool (..., n); it itself, and the smallest of those that are not among the `pruned`, (...):
        where the two are equal, fewer values than n - pruned are above.
    """
    parted = np.partition(rows, pruned - 1, axis=-1)
    threshold = parted[..., pruned - 1]
    return rows > threshold[..., None], threshold, np.asarray(parted[..., pruned:].min(-1))


class SuccessiveSplit:
    """`split` of the rows of successive steps, each much like the one before.

    Near the last row's threshold a row is sorted, elsewhere it is only compared and counted. Where the threshold is
    not there, it is looked for around that of a sample (Floyd and Rivest 1975, Communications of the ACM 18), then
    everywhere. What comes out depends on the row alone.
    """

    def __init__(self) -> None:
        self._bracket = (math.inf, -math.inf)

    def __call__(
        self, rows: NDArray[np.floating], pruned: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.floating], NDArray[np.floating]]:
        """As `split`, for rows (steps, n)."""
        above_it = np.empty(rows.shape, dtype=np.bool_)
        pairs = [self._next(row, pruned, out) for row, out in zip(rows, above_it, strict=True)]
        threshold, above = np.array(pairs, dtype=rows.dtype).reshape(-1, 2).T
        return above_it, threshold, above

    def _next(self, row: NDArray[np.floating], pruned: int, out: NDArray[np.bool_]) -> tuple[float, float]:
        for low, high in self._brackets(row, pruned):
            np.greater_equal(row, low, out=out)
            place = pruned - 1 - (len(row) - int(np.count_nonzero(out)))
            near = (out & (row <= high)).nonzero()[0]
            values = row[near]
            ordered = np.sort(values)
            if 0 <= place < len(ordered) - 1:
                break
        threshold, above = float(ordered[place]), float(ordered[place + 1])
        out[near] = values > threshold
        reach = math.ceil(_REACH * len(row))
        width = float(ordered[min(place + 1 + reach, len(ordered) - 1)] - ordered[max(place - reach, 0)])
        self._bracket = (threshold - width, above + width)
        return threshold, above

    def _brackets(self, row: NDArray[np.floating], pruned: int) -> Iterator[tuple[float, float]]:
        yield self._bracket
        sample = np.sort(row[:: math.ceil(len(row) / _SAMPLE)])
        # Four standard deviations of the sample's rank at its widest.
        reach = math.ceil(2 * math.sqrt(len(sample)))
        middle = pruned * len(sample) // len(row)
        yield float(sample[max(0, middle - reach)]), float(sample[min(len(sample) - 1, middle + reach)])
        yield -math.inf, math.inf
