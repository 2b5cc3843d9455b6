"""The share of the units whose own scores have settled."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from earlybird.detectors.base import Detector, Observation
from earlybird.detectors.pruning import Pruning
from earlybird.errors import InputError
from earlybird.stationarity.base import StationarityTest

# What is held stays below 260 kB whatever the model's size and the run's length.
_MOST_POINTS = 64
_MOST_UNITS = 512


class StationaryShare(Detector):
    """Settled when a window test finds enough of the units' own score series settled.

    A window is seen at 64 evenly spaced steps at most, and of more than 512 units as many evenly spaced ones
    speak for all. With n steps observed, a check happens when n is a multiple of `every`, n >= window and
    n >= start.

    Args:
        test: what judges each unit's scores over the window.
        pruning: tells which places hold a unit.
        threshold: the least share that counts as settled.
        window: steps in a test.
        every: steps between checks.
        start: no check before so many steps.
    """

    def __init__(
        self,
        test: StationarityTest,
        pruning: Pruning,
        *,
        threshold: float,
        window: int,
        every: int,
        start: int = 0,
    ) -> None:
        super().__init__()
        if window < 4:
            raise InputError(f"window must be at least 4 steps, got {window}")
        if every < 1:
            raise InputError(f"every must be at least 1 step, got {every}")
        self.test = test
        self.threshold = threshold
        self.first_check = -(-max(window, start) // every) * every
        self._every = every
        self._stride = -(-window // _MOST_POINTS)
        self._points: deque[NDArray[np.float64]] = deque(maxlen=window // self._stride)
        self._valid = pruning.valid(max(pruning.units, default=0))
        units = int(self._valid.sum())
        self._chosen = np.linspace(0, units - 1, min(units, _MOST_UNITS)).round().astype(np.int64)
        self._observed = 0

    def update(self, observation: Observation) -> None:
        """Hold the scores at every so manyth step, and test them if a check is due."""
        self._observed += 1
        if self._observed % self._stride == 0:
            self._points.append(np.asarray(observation.scores[self._valid][self._chosen], dtype=np.float64))
        self.checked = self._observed >= self.first_check and self._observed % self._every == 0
        if not self.checked:
            return
        series = np.stack(self._points, axis=1)
        self.statistic = float(np.mean([self.test.judge(unit)[1] for unit in series]))
        self.settled = self.statistic >= self.threshold and observation.evidence
