"""A line through each window of a series, and the p-value of its slope."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earlybird.config import DetectorConfig
from earlybird.detectors.defaults import with_defaults
from earlybird.detectors.expression import detector_factory
from earlybird.detectors.factory import DetectorFactory, NamedDetector
from earlybird.detectors.presets import DETECTORS
from earlybird.detectors.trailing_average import trailing_average
from earlybird.stationarity.least_squares import TimeTrend
from earlybird.stationarity.ols import OrdinaryLeastSquares, RobustLeastSquares
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import Kind

THRESHOLD = OrdinaryLeastSquares.default_threshold
# A line through fewer has no error to speak of.
_LEAST = 4
# More checks than that say nothing more: every so manyth is looked at.
_MOST = 200


@dataclass(frozen=True)
class Windows:
    """Which windows are looked at, all in values of a series.

    Attributes:
        smoothing: values of the moving average, 1 for none.
        length: averaged values in a window.
        every: values from one window's end to the next one's.
    """

    smoothing: int
    length: int
    every: int

    def of_points(self, steps: int, points: int) -> Windows:
        """The same windows, given in steps, over so many evenly spaced points of so many steps."""
        smoothing, length, every = (
            max(1, round(span * points / steps)) for span in (self.smoothing, self.length, self.every)
        )
        return Windows(smoothing, max(_LEAST, length), every)


@dataclass(frozen=True)
class SlidingRegressions:
    """Of each of m windows the line by ordinary least squares and the p-value of its slope.

    Attributes:
        windows: their smoothing, length and cadence.
        smoothed: the series' trailing moving average, (n,), NaN at the first values.
        ends: the index of each window's last value, (m,), increasing.
        lines: the height of each line at its window's first and last value, (m, 2).
        p: of the slope, deviations taken as independent, (m,); NaN where the window is constant.
        robust_p: the same with standard errors robust to serial correlation, (m,).
    """

    windows: Windows
    smoothed: NDArray[np.float64]
    ends: NDArray[np.int64]
    lines: NDArray[np.float64]
    p: NDArray[np.float64]
    robust_p: NDArray[np.float64]

    @classmethod
    def of(cls, series: NDArray[np.float64], windows: Windows) -> SlidingRegressions | None:
        """The windows of a finite series (n,), at the checks of a detector; None where it is shorter than the first."""
        first = windows.smoothing + windows.length - 1
        ends = np.arange(windows.every, len(series) + 1, windows.every) - 1
        ends = ends[ends >= first - 1]
        if len(ends) == 0 or windows.length < _LEAST:
            return None
        smoothed = np.full(len(series), np.nan)
        smoothed[windows.smoothing - 1 :] = trailing_average(series, windows.smoothing)
        tests = OrdinaryLeastSquares(), RobustLeastSquares()
        lines, found = [], []
        for end in ends:
            # As a detector holds it.
            window = trailing_average(series[end + 1 - first : end + 1], windows.smoothing)
            trend = TimeTrend.fit(window)
            lines.append(window.mean() + trend.slope * trend.centred_time[[0, -1]])
            said = [test.judge(window)[0] for test in tests]
            found.append([np.nan if p is None else p for p in said])
        p, robust = np.array(found).T
        return cls(windows, smoothed, ends, np.array(lines), p, robust)


def windows_of(trajectory: Trajectory, config: DetectorConfig, kind: Kind) -> Windows:
    """Moving average, window and cadence of a search's detector in steps, where it is a test on windows; else of `ols`.

    Of a detector that checks very often some checks are left out.

    Raises:
        InputError: a setting of the detector that it does not have.
    """
    factory = detector_factory(with_defaults(config, trajectory.shape.channels))
    if not _is_windowed(factory):
        factory = NamedDetector("ols", DETECTORS["ols"])
    spans = factory.spans(kind, trajectory.total_steps, trajectory.shape.steps_per_epoch)
    checks = -(-trajectory.steps // spans["every"])
    return Windows(spans["smoothing"], spans["window"], spans["every"] * -(-checks // _MOST))


def _is_windowed(factory: DetectorFactory) -> bool:
    return isinstance(factory, NamedDetector) and factory.specification.test is not None
