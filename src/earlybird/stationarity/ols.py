"""Slope against time by ordinary least squares: settled when it is not significant."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.base import StationarityTest
from earlybird.stationarity.least_squares import TimeTrend


class OrdinaryLeastSquares(StationarityTest):
    """p-value of the slope's t-test with classic standard errors.

    Settled when p exceeds the threshold: the study's rule. A slope that is not significant is not the same as
    a slope that is small.
    """

    null = "The window has no linear trend, its deviations being independent."
    default_threshold = 0.20

    def statistic(self, window: NDArray[np.float64]) -> float:
        """Two-sided p-value, Student's t with n - 2 degrees of freedom."""
        from scipy.special import stdtr

        trend = TimeTrend.fit(window)
        error = trend.classic_error()
        if error == 0:
            return 0.0
        return float(2 * stdtr(len(window) - 2, -abs(trend.slope / error)))


class RobustLeastSquares(OrdinaryLeastSquares):
    """The same, standard errors robust to serial correlation (HAC; Newey and West 1987), normal p-value."""

    null = "The window has no linear trend, its deviations being serially correlated."
    cost = "O(n^1.5)"

    def statistic(self, window: NDArray[np.float64]) -> float:
        """Two-sided p-value, standard normal; lags up to the square root of the window's length."""
        from scipy.special import erfc

        trend = TimeTrend.fit(window)
        error = trend.newey_west_error(math.isqrt(len(window)))
        if error == 0:
            return 0.0
        return float(erfc(abs(trend.slope / error) / math.sqrt(2)))
