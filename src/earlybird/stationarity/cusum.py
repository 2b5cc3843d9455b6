"""CUSUM: how far the cumulated deviations from the window's mean stray."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.base import StationarityTest


class CumulativeSum(StationarityTest):
    """p-value of the CUSUM test on least-squares residuals (Ploberger and Krämer 1992, Econometrica 60).

    The largest cumulated deviation from the mean, over the standard deviation and the square root of the
    window, follows the supremum of a Brownian bridge where the mean is constant. Settled when p exceeds the
    threshold.
    """

    null = "The window's mean is constant, its deviations being independent."
    default_threshold = 0.20

    def statistic(self, window: NDArray[np.float64]) -> float:
        """p-value by Kolmogorov's distribution."""
        from scipy.special import kolmogorov

        shifted = window - window[0]
        residuals = shifted - shifted.mean()
        deviation = math.sqrt(float(residuals @ residuals))
        if deviation == 0:
            return math.nan
        return float(kolmogorov(float(np.abs(np.cumsum(residuals)).max()) / deviation))
