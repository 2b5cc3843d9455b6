"""What searches for change points have in common: the penalty of a change, and what the last one leaves."""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from earlybird.extras import require
from earlybird.stationarity.base import StationarityTest


class ChangePointSearch(StationarityTest):
    """The share of the window that lies after its last change of level.

    A change must lower the sum of squares by 2 log(n) times the noise's variance (Schwarz's criterion), which is
    half the mean square of successive differences, so that a trend or a jump does not pass for noise (von
    Neumann 1941). Settled when the share exceeds the threshold; 1 where there is no change at all.

    Raises:
        InputError: the package ruptures is not installed.
    """

    null = "none: the least penalised sum of squares, the window being levels with independent noise"
    default_threshold = 0.75

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__(threshold)
        require("ruptures", extra="statistics", what=f"detector {self.detector}")

    detector: str

    def statistic(self, window: NDArray[np.float64]) -> float:
        """Share of the window since the last change of level, in (0, 1]."""
        steps = np.diff(window)
        # In units of the noise: a search on values of any size then adds up without losing digits.
        noise = math.sqrt(float(steps @ steps) / (2 * len(steps)))
        if noise == 0 or not math.isfinite(noise):
            return math.nan
        ends = self.segments((window - window.mean()) / noise, 2 * math.log(len(window)))
        last = ends[-2] if len(ends) > 1 else 0
        return 1 - last / len(window)

    @abstractmethod
    def segments(self, series: NDArray[np.float64], penalty: float) -> list[int]:
        """Ends of the segments of a series (n,), increasing; the last one is n."""
