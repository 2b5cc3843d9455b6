"""Sliding regressions over the scores of single units."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from earlybird.config import DetectorConfig
from earlybird.detectors.defaults import scored_by
from earlybird.report.one_unit import OneUnit, unit_series
from earlybird.report.sliding_regressions import SlidingRegressions, windows_of
from earlybird.trajectory import Trajectory


@dataclass(frozen=True)
class UnitRegressions:
    """One unit's scores at every recorded step, (steps,), and the windows over them."""

    unit: OneUnit
    values: NDArray[np.float64]
    found: SlidingRegressions


def unit_regressions(
    trajectory: Trajectory, config: DetectorConfig, units: Collection[OneUnit]
) -> tuple[UnitRegressions, ...]:
    """The windows of the search, without its moving average; () where fewer steps are recorded than a window has.

    Args:
        trajectory: the record.
        config: of the search: what ranks units, and the detector's windows.
        units: of one kind.

    Raises:
        InputError: the record lacks what the score needs, or the detector a setting that is given.
    """
    result: list[UnitRegressions] = []
    if not units:
        return ()
    windows = replace(windows_of(trajectory, config, next(iter(units)).kind), smoothing=1)
    score = scored_by(config, trajectory.shape.channels)
    series = unit_series(trajectory, score, units, np.arange(trajectory.steps))
    for unit, values in zip(units, series, strict=True):
        found = SlidingRegressions.of(values, windows)
        if found is not None:
            result.append(UnitRegressions(unit, values, found))
    return tuple(result)
