"""The contract of a test: a window of a series in, one statistic out, settled or not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.ramp import is_ramp


class StationarityTest(ABC):
    """Judges one window of a series.

    Three rules stand above every test, since libraries raise, return NaN or 1 on such windows: an exactly
    constant window is settled; a window with a value that is not finite never is; nor is a perfect ramp,
    whatever its slope, offset and length.

    Args:
        threshold: what the statistic is compared with; by default the test's own.

    Attributes:
        null: the null hypothesis in one sentence, or what takes its place.
        default_threshold: what the statistic is compared with where the user gives nothing.
        settled_below: whether a statistic below the threshold speaks for a settled window, or one above it.
        cost: of one judgement, by operations, in the window's length n.
    """

    null: ClassVar[str]
    default_threshold: ClassVar[float]
    settled_below: ClassVar[bool] = False
    cost: ClassVar[str] = "O(n)"

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = self.default_threshold if threshold is None else threshold

    def judge(self, window: NDArray[np.float64]) -> tuple[float | None, bool]:
        """The statistic of a window (n,), None where there is nothing to test, and whether it is settled."""
        if not np.isfinite(window).all():
            return None, False
        if window.min() == window.max():
            return None, True
        statistic = self.statistic(window)
        return statistic, bool(np.isfinite(statistic)) and self.passes(statistic) and not is_ramp(window)

    @abstractmethod
    def statistic(self, window: NDArray[np.float64]) -> float:
        """The number that decides, from a finite window (n,) that is not constant; NaN where there is none."""

    def passes(self, statistic: float) -> bool:
        """Whether the statistic lies on the threshold's settled side."""
        return statistic < self.threshold if self.settled_below else statistic > self.threshold
