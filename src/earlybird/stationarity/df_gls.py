"""DF-GLS: a Dickey-Fuller test that finds slow returns to a level more often."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from earlybird.extras import require
from earlybird.stationarity.base import StationarityTest
from earlybird.stationarity.silence import without_warnings


class DickeyFullerGLS(StationarityTest):
    """p-value of the DF-GLS test (Elliott, Rothenberg and Stock 1996, Econometrica 64) by the package arch.

    The level is taken out by generalised least squares before the Dickey-Fuller regression; lags by Akaike's
    criterion. Settled when p is below the threshold.

    Raises:
        InputError: the package arch is not installed.
    """

    null = "The window has a unit root: it wanders and does not return to a level."
    default_threshold = 0.05
    settled_below = True
    cost = "O(n^1.75), a regression at each of about 12 (n/100)^0.25 lags"

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__(threshold)
        require("arch", extra="statistics", what="detector df-gls")

    def statistic(self, window: NDArray[np.float64]) -> float:
        """Approximate p-value; NaN where the regression has no solution."""
        from arch.unitroot import DFGLS
        from arch.utility.exceptions import InfeasibleTestException

        try:
            with without_warnings():
                return float(DFGLS(window, trend="c").pvalue)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError, InfeasibleTestException):
            return math.nan
