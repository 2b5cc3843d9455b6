"""A statistical test on the last values of a series, every so many steps."""

from __future__ import annotations

from collections import deque

import numpy as np

from earlybird.detectors.base import Detector, Observation
from earlybird.detectors.criterion import NUCLEAR_NORM, Criterion
from earlybird.detectors.trailing_average import trailing_average
from earlybird.errors import InputError
from earlybird.stationarity.base import StationarityTest


class WindowedTest(Detector):
    """Moving average, window, cadence, test: the study's way to a draw.

    A check tests the last `window` values of the moving average; the first comes when there are so many. A criterion
    that has no value at the first steps delays it by as many.

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
        if window < 4:
            raise InputError(f"window must be at least 4 values, got {window}")
        if smoothing < 1:
            raise InputError(f"smoothing must be at least 1 step, got {smoothing}")
        length = smoothing + window - 1
        super().__init__(every=every, earliest=max(length + criterion.missing, start), criteria=(criterion,))
        self.test = test
        self.smoothing = smoothing
        self.window = window
        self.later_window = later_window
        self._values: deque[float] = deque(maxlen=length)

    def hold(self, observation: Observation) -> None:
        """Append the criterion's value."""
        self._values.append(observation.values[self.criteria[0]])

    def check(self, observation: Observation) -> tuple[float | None, bool]:
        """Smooth the window, and test it."""
        values = trailing_average(np.fromiter(self._values, dtype=np.float64), self.smoothing)
        if self.later_window is not None and observation.observed > self.first_check:
            values = values[-self.later_window :]
        return self.test.judge(values)
