"""Augmented Dickey-Fuller: stationary unless a unit root cannot be rejected."""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from earlybird.stationarity.base import StationarityTest
from earlybird.stationarity.least_squares import TimeTrend
from earlybird.stationarity.silence import without_warnings

# A window this close to its own line (relative to its size) is a ramp; the regression on it is 0/0.
_RAMP = 1e-10
# A regressor of which less is left by those before it depends on them, and residuals as small are rounding.
_ROUNDING = 1e-7


class AugmentedDickeyFuller(StationarityTest):
    """p-value of the augmented Dickey-Fuller test (Said and Dickey 1984), as statsmodels gives it.

    Regression with a constant, lags by Akaike's criterion. Settled when p is below the threshold: the study's
    rule. One QR decomposition serves the regressions at all lags, each of which leaves out the last regressors;
    where regressors depend on one another or leave no residuals, statsmodels' own rules decide.
    """

    null = "The window has a unit root: it wanders and does not return to a level."
    default_threshold = 0.05
    settled_below = True
    cost = "O(n^1.5), a regression on about 12 (n/100)^0.25 lags"

    def statistic(self, window: NDArray[np.float64]) -> float:
        """MacKinnon's approximate p-value; 1 for a perfect ramp, which never returns to a level."""
        from statsmodels.tsa.adfvalues import mackinnonp
        from statsmodels.tsa.stattools import adfuller

        size = float(np.abs(window).max())
        if float(np.abs(TimeTrend.fit(window).residuals).max()) <= _RAMP * size:
            return 1.0
        ratio = _dickey_fuller_ratio(window)
        if ratio is not None:
            return float(mackinnonp(ratio, regression="c", N=1))
        try:
            # On windows of few distinct values it warns of rank and of log(0), and its answer still holds.
            with without_warnings():
                return float(adfuller(window, regression="c", autolag="AIC", result_object=True).pvalue)
        except (ValueError, np.linalg.LinAlgError):
            # Too short for a single lag, or too few distinct values to fit: no evidence of a level.
            return 1.0


def _dickey_fuller_ratio(window: NDArray[np.float64]) -> float | None:
    """The level's coefficient over its standard error, lags by Akaike's criterion; None where QR cannot tell."""
    n = len(window)
    # Schwert's rule (1989), and no more regressors than half of the values.
    most = min(n // 2 - 2, math.ceil(12 * (n / 100) ** 0.25))
    if most < 1:
        return None
    decomposed = _decomposed(window, most, level_last=False)
    if decomposed is None:
        return None
    explained, left, _ = decomposed
    values, total = n - 1 - most, left + float(explained @ explained)
    # Residual sums of squares with the first 2, 3, ... regressors: what all leave, and what the others explain.
    residual = left + np.append(np.cumsum(explained[:1:-1] ** 2)[::-1], 0.0)
    if residual.min() <= _ROUNDING**2 * total:
        return None
    akaike = values * np.log(residual) + 2 * np.arange(2, most + 3)
    lags = int(np.argmin(akaike))
    decomposed = _decomposed(window, lags, level_last=True)
    if decomposed is None:
        return None
    explained, left, sign = decomposed
    return float(explained[-1]) * sign / math.sqrt(left / (n - 1 - lags - len(explained)))


def _decomposed(
    window: NDArray[np.float64], lags: int, *, level_last: bool
) -> tuple[NDArray[np.float64], float, float] | None:
    """The test's regression by QR: Q'y, the residual sum of squares, and the sign of R's last diagonal entry.

    Regressors are a constant, the level before each increment, and the `lags` increments before it, newest first.
    """
    increments = np.diff(window)
    earlier = sliding_window_view(increments, lags + 1)[:, ::-1]
    explained, lagged = earlier[:, 0], earlier[:, 1:]
    # Counted from a value of its own, the level spares digits; the constant takes up the difference.
    level = window[lags:-1] - window[0]
    columns = [np.ones(len(level)), level, *lagged.T]
    if level_last:
        columns.append(columns.pop(1))
    q, r = np.linalg.qr(np.stack(columns, axis=1))
    if (np.abs(np.diagonal(r)) <= _ROUNDING * np.linalg.norm(r, axis=0)).any():
        return None
    projected = explained @ q
    residuals = explained - q @ projected
    return projected, float(residuals @ residuals), float(np.sign(r[-1, -1]))
