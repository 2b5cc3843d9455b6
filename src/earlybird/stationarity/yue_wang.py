"""Mann-Kendall whose variance is that of fewer, effectively independent values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.autocorrelation import autocorrelation
from earlybird.stationarity.mann_kendall import MannKendall, score_and_variance, two_sided_p
from earlybird.stationarity.sen_slope import detrended


class YueWang(MannKendall):
    """p-value of the Mann-Kendall test as modified by Yue and Wang (2004, Water Resources Management 18).

    The variance of S is multiplied by 1 + 2 sum over the lags k of (1 - k/n) r_k, r the autocorrelations of the
    window less its Sen slope, over all lags. Autocorrelations about a window's own mean sum to -1/2 over all
    lags, so that the factor comes out too small and a trend is found too often, also in noise.
    """

    null = "The window has no monotone trend, its values being serially correlated."

    def statistic(self, window: NDArray[np.float64]) -> float:
        """Two-sided p-value; NaN where the corrected variance is not positive."""
        score, variance = score_and_variance(window)
        n = len(window)
        lags = np.arange(1, n)
        inflation = 1 + 2 * float((1 - lags / n) @ autocorrelation(detrended(window))[1:])
        return two_sided_p(score, variance * inflation)
