"""The detector's statistic at each of its checks, by running it again over the record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earlybird.config import SearchConfig
from earlybird.detectors.draw import Draw
from earlybird.detectors.factory import DetectorFactory
from earlybird.detectors.offline import detection_of, score_chunks
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import Kind


@dataclass(frozen=True)
class StatisticTrace:
    """One kind's checks up to the draw.

    Attributes:
        steps: the 0-based steps of the checks, (n,).
        values: the statistic, (n,); NaN where the window was exactly constant, which is settled.
    """

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Replay:
    """What the detector saw.

    Attributes:
        factory: the detector with its settings.
        traces: its checks, per kind.
        draw: what it decided, None if the masks did not settle within the recorded steps.
    """

    factory: DetectorFactory
    traces: Mapping[Kind, StatisticTrace]
    draw: Draw | None

    @property
    def threshold(self) -> float | None:
        """What the statistic is compared with, where that is known."""
        return self.factory.threshold

    @property
    def settled_below(self) -> bool:
        """Whether small values speak for settled masks, or large ones."""
        return self.factory.settled_below


def replay(trajectory: Trajectory, config: SearchConfig) -> Replay:
    """Run the config's detector over the record, to the draw or the last recorded step.

    Raises:
        InputError: a setting that the detector does not have, or scores that are not finite.
    """
    detection = detection_of(trajectory, config)
    checks: dict[Kind, list[tuple[int, float]]] = {kind: [] for kind in detection.kinds}
    step = 0
    for scores in score_chunks(trajectory, detection.kinds, detection.score):
        for position in range(len(next(iter(scores.values())))):
            # One step at a time: between two checks the detector forgets the statistic of the earlier one.
            detection.update({kind: values.part(slice(position, position + 1)) for kind, values in scores.items()})
            for kind, detector in detection.streams.each_kind(detection.detectors).items():
                if detector.checked:
                    value = math.nan if detector.statistic is None else detector.statistic
                    checks[kind].append((step, value))
            if detection.draw is not None:
                break
            step += 1
        if detection.draw is not None:
            break
    traces = {
        kind: StatisticTrace(
            np.array([step for step, _ in pairs], dtype=np.int64), np.array([value for _, value in pairs])
        )
        for kind, pairs in checks.items()
    }
    return Replay(detection.factory, traces, detection.draw)
