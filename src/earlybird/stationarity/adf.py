"""Augmented Dickey-Fuller: stationary unless a unit root cannot be rejected."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.base import StationarityTest
from earlybird.stationarity.least_squares import TimeTrend
from earlybird.stationarity.silence import without_warnings

# A window this close to its own line (relative to its size) is a ramp; the regression on it is 0/0.
_RAMP = 1e-10


class AugmentedDickeyFuller(StationarityTest):
    """p-value of the augmented Dickey-Fuller test (Said and Dickey 1984) by statsmodels.

    Regression with a constant, lags by Akaike's criterion. Settled when p is below the threshold: the study's
    rule.
    """

    null = "The window has a unit root: it wanders and does not return to a level."
    default_threshold = 0.05
    settled_below = True
    cost = "O(n^1.75), a regression at each of about 12 (n/100)^0.25 lags"

    def statistic(self, window: NDArray[np.float64]) -> float:
        """MacKinnon's approximate p-value; 1 for a perfect ramp, which never returns to a level."""
        from statsmodels.tsa.stattools import adfuller

        size = float(np.abs(window).max())
        if float(np.abs(TimeTrend.fit(window).residuals).max()) <= _RAMP * size:
            return 1.0
        try:
            # On windows of few distinct values it warns of rank and of log(0), and its answer still holds.
            with without_warnings():
                return float(adfuller(window, regression="c", autolag="AIC", result_object=True).pvalue)
        except (ValueError, np.linalg.LinAlgError):
            # Too short for a single lag, or too few distinct values to fit: no evidence of a level.
            return 1.0
