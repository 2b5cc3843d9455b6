"""Phillips-Perron: a unit root, serial correlation corrected for instead of modelled."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from earlybird.extras import require
from earlybird.stationarity.base import StationarityTest
from earlybird.stationarity.silence import without_warnings


class PhillipsPerron(StationarityTest):
    """p-value of the Phillips-Perron test (Phillips and Perron 1988, Biometrika 75) by the package arch.

    Regression with a constant, Z-tau, Newey-West lags 12 (n/100)^0.25. Settled when p is below the threshold.

    Raises:
        InputError: the package arch is not installed.
    """

    null = "The window has a unit root: it wanders and does not return to a level."
    default_threshold = 0.05
    settled_below = True
    cost = "O(n^1.25)"

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__(threshold)
        require("arch", extra="statistics", what="detector phillips-perron")

    def statistic(self, window: NDArray[np.float64]) -> float:
        """MacKinnon's approximate p-value; NaN where the regression has no solution."""
        from arch.unitroot import PhillipsPerron as Reference
        from arch.utility.exceptions import InfeasibleTestException

        try:
            with without_warnings():
                return float(Reference(window, trend="c").pvalue)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError, InfeasibleTestException):
            return math.nan
