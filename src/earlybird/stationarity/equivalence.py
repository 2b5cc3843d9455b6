"""Equivalence: settled only where a drift that matters can be excluded."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.base import StationarityTest
from earlybird.stationarity.least_squares import TimeTrend

# One-sided 5% point of the standard normal: two one-sided tests at 5% each.
Z_95 = 1.645


class Equivalence(StationarityTest):
    """Two one-sided tests that the drift over the window is smaller than a margin (Schuirmann 1987).

    The statistic is the upper bound of |slope| x window / mean at 5%, with Newey-West errors over the square
    root of the window; settled when it stays below the margin (2% by default). Where the usual tests take a
    lack of evidence for rest, this one asks for evidence of rest.
    """

    null = "Over the window the series drifts by at least the margin, relative to its mean."
    default_threshold = 0.02
    settled_below = True
    cost = "O(n^1.5)"

    def statistic(self, window: NDArray[np.float64]) -> float:
        """Upper bound of the relative drift over the window; infinite where the mean is 0."""
        trend = TimeTrend.fit(window)
        error = trend.newey_west_error(math.isqrt(len(window)))
        mean = abs(float(window.mean()))
        if mean == 0:
            return math.inf
        return (abs(trend.slope) + Z_95 * error) * len(window) / mean
