"""An autoregression of first order: does the window return to a level, and does one lag describe it?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.base import StationarityTest

# The statistic of Durbin and Watson is 2 without correlation; beyond these the residuals still carry some.
_DURBIN_WATSON = (1.5, 2.5)


class AutoregressiveRoot(StationarityTest):
    """p-value of a unit root in x_t = a + b x_(t-1) + e_t (Dickey and Fuller 1979), where that model holds.

    Whether it holds is what the statistic of Durbin and Watson (1950) of the residuals says: outside 1.5 to 2.5
    one lag does not describe the window, and there is no evidence of a level (p = 1). Beside a lagged variable
    that statistic leans towards 2, so it finds gross misfits only. Settled when p is below the threshold.
    """

    null = "The window is a first-order autoregression with a unit root, or is none."
    default_threshold = 0.05
    settled_below = True

    def statistic(self, window: NDArray[np.float64]) -> float:
        """MacKinnon's approximate p-value, 1 where the residuals are correlated; NaN where nothing is left."""
        from statsmodels.tsa.adfvalues import mackinnonp

        shifted = window - window[0]
        before, change = shifted[:-1] - shifted[:-1].mean(), np.diff(shifted)
        spread = float(before @ before)
        if spread == 0:
            return math.nan
        slope = float(before @ change) / spread
        residuals = change - change.mean() - slope * before
        left = float(residuals @ residuals)
        if len(change) < 4 or left <= float(np.finfo(np.float64).eps) * float(change @ change):
            return math.nan
        if not _DURBIN_WATSON[0] <= durbin_watson(residuals) <= _DURBIN_WATSON[1]:
            return 1.0
        error = math.sqrt(left / (len(change) - 2) / spread)
        return float(mackinnonp(slope / error, regression="c", N=1))


def durbin_watson(residuals: NDArray[np.float64]) -> float:
    """Sum of squared differences over sum of squares (Durbin and Watson 1950); residuals (n,), not all 0."""
    steps = np.diff(residuals)
    return float(steps @ steps) / float(residuals @ residuals)
