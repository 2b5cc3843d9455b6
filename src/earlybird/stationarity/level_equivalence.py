"""Equivalence of levels: a difference between a window's halves that matters can be excluded."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.base import StationarityTest
from earlybird.stationarity.equivalence import Z_95
from earlybird.stationarity.least_squares import newey_west_error


class LevelEquivalence(StationarityTest):
    """Two one-sided tests that the halves' means differ by less than a margin (Schuirmann 1987).

    The statistic is the upper bound of |mean of the later half - mean of the earlier| / mean at 5%, with
    Newey-West errors over the square root of the window; settled when it stays below the margin (2% by
    default). Of an odd window the later half has one value more.
    """

    null = "The levels of the window's halves differ by at least the margin, relative to its mean."
    default_threshold = 0.02
    settled_below = True
    cost = "O(n^1.5)"

    def statistic(self, window: NDArray[np.float64]) -> float:
        """Upper bound of the relative difference; infinite where the mean is 0."""
        shifted = window - window[0]
        middle = len(window) // 2
        means = shifted[:middle].mean(), shifted[middle:].mean()
        later = (np.arange(len(window)) >= middle).astype(np.float64)
        residuals = shifted - np.where(later > 0, means[1], means[0])
        error = newey_west_error(later - later.mean(), residuals, math.isqrt(len(window)))
        mean = abs(float(window.mean()))
        if mean == 0:
            return math.inf
        return (abs(float(means[1] - means[0])) + Z_95 * error) / mean
