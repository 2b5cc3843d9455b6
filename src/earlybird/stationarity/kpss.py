"""Kwiatkowski-Phillips-Schmidt-Shin: stationary unless that is rejected."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.base import StationarityTest
from earlybird.stationarity.silence import without_warnings


class KwiatkowskiPhillipsSchmidtShin(StationarityTest):
    """p-value of the KPSS test (Kwiatkowski et al. 1992, Journal of Econometrics 54) by statsmodels.

    About a level, lags chosen from the data (Hobijn et al. 1998). The table of critical values ends at 0.01 and
    0.10, and so do the p-values. Settled when p exceeds the threshold.
    """

    null = "The window is stationary about a level."
    default_threshold = 0.05
    cost = "O(n^1.2)"

    def statistic(self, window: NDArray[np.float64]) -> float:
        """p-value between 0.01 and 0.10; NaN where the window is too short or has no variance left."""
        from statsmodels.tsa.stattools import kpss

        try:
            # It warns wherever the p-value lies at an end of its table.
            with without_warnings():
                return float(kpss(window, regression="c", nlags="auto", result_object=True).pvalue)
        except (ValueError, OverflowError, np.linalg.LinAlgError):
            return math.nan
