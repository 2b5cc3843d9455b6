"""A statistical test on the last values of a series, every so many steps."""

from __future__ import annotations

from collections import deque

import numpy as np

from earlybird.detectors.base import Detector, Observation
from earlybird.detectors.criterion import NUCLEAR_NORM, Criterion
from earlybird.errors import InputError
from earlybird.stationarity.base import StationarityTest


class WindowedTest(Detector):
    """Moving average, window, cadence, test: the study's way to a draw.

    With n steps observed, a check happens when n is a multiple of `every`, n >= smoothing + window - 1 and
    n >= start; it tests the last `window` values of the moving average. A criterion that has no value at the
    first steps delays the first check by as many.

    Args:
        test: what judges a window.
        smoothing: steps of the trailing moving average; 1 leaves the series as it is.
        window: smoothed values in a test.
        every: steps between checks.
        start: no check before so many steps.
        later_window: window of all checks after the first (the study's notebooks took 100 after a first 300).
        criterion: the series.

    >>> from earlybird.stationarity.ols import OrdinaryLeastSquares
    >>> detector = WindowedTest(OrdinaryLeastSquares(), smoothing=1, window=4, every=2)
    >>> flat = np.zeros((1, 1)), np.ones((1, 1), dtype=bool)
    >>> for step in range(4):
    ...     detector.update(Observation(step, *flat, {NUCLEAR_NORM: 1.0}, evidence=True))
    >>> detector.settled
    True
    """

    def __init__(
        self,
        test: StationarityTest,
        *,
        smoothing: int,
        window: int,
        every: int,
        start: int = 0,
        later_window: int | None = None,
        criterion: Criterion = NUCLEAR_NORM,
    ) -> None:
        super().__init__()
        if window < 4:
            raise InputError(f"window must be at least 4 values, got {window}")
        if min(smoothing, every) < 1:
            raise InputError(f"smoothing and every must be at least 1 step, got {smoothing} and {every}")
        self.test = test
        self.smoothing = smoothing
        self.window = window
        self.every = every
        self.later_window = later_window
        self.criteria = (criterion,)
        self.first_check = -(-max(smoothing + window - 1 + criterion.missing, start) // every) * every
        self._values: deque[float] = deque(maxlen=smoothing + window - 1)
        self._observed = 0
        self._first_done = False

    def update(self, observation: Observation) -> None:
        """Append the criterion's value, and test if a check is due."""
        self._values.append(observation.values[self.criteria[0]])
        self._observed += 1
        self.checked = self._observed >= self.first_check and self._observed % self.every == 0
        if not self.checked:
            return
        values = np.fromiter(self._values, dtype=np.float64)
        if self.smoothing > 1:
            # Averaged around the newest value: the average of a constant series is then exactly constant.
            newest = values[-1]
            weights = np.full(self.smoothing, 1 / self.smoothing)
            values = np.convolve(values - newest, weights, mode="valid") + newest
        if self._first_done and self.later_window is not None:
            values = values[-self.later_window :]
        self._first_done = True
        self.statistic, settled = self.test.judge(values)
        self.settled = settled and observation.evidence
