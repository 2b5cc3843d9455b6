"""The share of the units whose own scores have settled."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from earlybird.detectors.base import Detector, Observation
from earlybird.errors import InputError
from earlybird.masks import Rule
from earlybird.stationarity.base import StationarityTest

# What is held stays below 260 kB whatever the model's size and the run's length.
_MOST_POINTS = 64
_MOST_UNITS = 512


class StationaryShare(Detector):
    """Settled when a window test finds enough of the units' own score series settled.

    A window is seen at 64 evenly spaced steps at most, and of more than 512 units as many evenly spaced ones
    speak for all.

    Args:
        test: what judges each unit's scores over the window.
        rule: tells which places hold a unit.
        threshold: the least share that counts as settled.
        window: steps in a test.
        every: steps between checks.
        start: no check before so many steps.
    """

    def __init__(
        self,
        test: StationarityTest,
        rule: Rule,
        *,
        threshold: float,
        window: int,
        every: int,
        start: int = 0,
    ) -> None:
        if window < 4:
            raise InputError(f"window must be at least 4 steps, got {window}")
        super().__init__(every=every, earliest=max(window, start))
        self.test = test
        self.threshold = threshold
        self._stride = -(-window // _MOST_POINTS)
        self._points: deque[NDArray[np.float64]] = deque(maxlen=window // self._stride)
        self._valid = rule.valid(max(rule.units, default=0))
        units = int(self._valid.sum())
        self._chosen = np.linspace(0, units - 1, min(units, _MOST_UNITS)).round().astype(np.int64)

    def hold(self, observation: Observation) -> None:
        """Hold the scores at every so manyth step."""
        if observation.observed % self._stride == 0:
            self._points.append(np.asarray(observation.scores[self._valid][self._chosen], dtype=np.float64))

    def check(self, observation: Observation) -> tuple[float, bool]:
        """Test each unit's scores."""
        series = np.stack(self._points, axis=1)
        share = float(np.mean([self.test.judge(unit)[1] for unit in series]))
        return share, share >= self.threshold
