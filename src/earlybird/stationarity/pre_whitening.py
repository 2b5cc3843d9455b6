"""Mann-Kendall on what is left of a window when each value's share of the next is taken out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.autocorrelation import autocorrelation
from earlybird.stationarity.mann_kendall import MannKendall, score_and_variance, two_sided_p


class PreWhitened(MannKendall):
    """p-value of the Mann-Kendall test on x_t - r x_(t-1), r the autocorrelation at lag 1 (Yue and Wang 2002).

    Takes out an autoregression of first order, and with it part of a trend, if there is one.
    """

    null = "Less its first-order autoregression, the window has no monotone trend."

    def statistic(self, window: NDArray[np.float64]) -> float:
        """Two-sided p-value; NaN where nothing is left to compare."""
        # Counted from the first value: a common level changes no comparison, and costs digits.
        shifted = window - window[0]
        score, variance = score_and_variance(shifted[1:] - autocorrelation(shifted)[1] * shifted[:-1])
        return two_sided_p(score, variance)
