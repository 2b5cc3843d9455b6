"""Mann-Kendall whose variance allows for serially correlated ranks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.autocorrelation import autocorrelation
from earlybird.stationarity.mann_kendall import MannKendall, score_and_variance, two_sided_p
from earlybird.stationarity.sen_slope import detrended

# Two-sided 5% point of the standard normal: only autocorrelations beyond it count, as Hamed and Rao propose.
_Z_975 = 1.959963984540054


class HamedRao(MannKendall):
    """p-value of the Mann-Kendall test as modified by Hamed and Rao (1998, Journal of Hydrology 204).

    The variance of S is multiplied by n/n*: 1 + 2 / (n (n-1) (n-2)) times the sum over all lags k of
    (n-k) (n-k-1) (n-k-2) r_k, r the autocorrelations of the ranks of the window less its Sen slope, those that
    are not significant at 5% left out. The sum can make the variance negative; there is no p-value then.
    """

    null = "The window has no monotone trend, its ranks being serially correlated."

    def statistic(self, window: NDArray[np.float64]) -> float:
        """Two-sided p-value; NaN where the corrected variance is not positive."""
        from scipy.stats import rankdata

        score, variance = score_and_variance(window)
        n = len(window)
        correlations = autocorrelation(rankdata(detrended(window)))[1:]
        significant = np.where(np.abs(correlations) > _Z_975 / math.sqrt(n), correlations, 0.0)
        left = n - np.arange(1, n, dtype=np.float64)
        inflation = 1 + 2 / (n * (n - 1) * (n - 2)) * float((left * (left - 1) * (left - 2)) @ significant)
        return two_sided_p(score, variance * inflation)
