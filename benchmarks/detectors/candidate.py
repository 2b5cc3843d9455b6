"""A detector with its settings, run on what is kept of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from record import Case, CaseRecord, Origin, Reading

from earlybird.config import DetectorConfig
from earlybird.detectors.base import Detector, Observation
from earlybird.detectors.combinations import AllOf, Repeated
from earlybird.detectors.criterion import NUCLEAR_NORM
from earlybird.detectors.expression import detector_factory
from earlybird.detectors.presets import DETECTORS

# Half a second a check.
COSTLY = ("markov-switching",)


@dataclass(frozen=True)
class Member:
    """One detector; what is not set is its default.

    >>> Member("half-time-capture", start="2%", threshold=0.9).name
    'half-time-capture start=2% threshold=0.9'
    """

    detector: str
    start: str | None = None
    lag: str | None = None
    window: str | None = None
    every: str | None = None
    threshold: float | None = None

    @property
    def name(self) -> str:
        """The detector and what is set."""
        settings = {key: value for key, value in vars(self).items() if key != "detector" and value is not None}
        return " ".join([self.detector, *(f"{key}={value}" for key, value in settings.items())])

    @property
    def reading(self) -> str:
        """The name of its reading, which is of no threshold."""
        return replace(self, threshold=None).name

    @property
    def is_read(self) -> bool:
        """Whether it looks at masks or scores, so that its statistic is taken from a reading."""
        return DETECTORS[self.detector].criterion is None

    def fresh(self, origin: Origin, case: Case) -> Detector:
        """The detector itself for one case.

        Raises:
            InputError: the run is too short for it.
        """
        factory = detector_factory(
            DetectorConfig(
                detector=self.detector,
                start=self.start,
                lag=self.lag,
                window=self.window,
                every=self.every,
                threshold=self.threshold,
            )
        )
        return factory.build(case.kind, origin.rule(case), case.score, origin.total_steps, origin.steps_per_epoch)

    def built(self, origin: Origin, case: Case, kept: CaseRecord) -> Detector:
        """What decides from the kept record as the detector decides from the whole one."""
        if not self.is_read:
            return self.fresh(origin, case)
        rule = DETECTORS[self.detector]
        threshold = rule.threshold if self.threshold is None else self.threshold
        return Replay(kept.readings[self.reading], threshold, rule.settled_below)


class Replay(Detector):
    """Settled where a reading's statistic reaches the threshold.

    Args:
        reading: the statistics at the checks.
        threshold: what they are compared with.
        settled_below: on which side of it they speak for settled masks.
    """

    def __init__(self, reading: Reading, threshold: float, settled_below: bool) -> None:
        super().__init__(earliest=int(reading.steps[0]) + 1)
        self._statistics = dict(zip(reading.steps.tolist(), reading.statistics.tolist(), strict=True))
        self._threshold = threshold
        self._settled_below = settled_below

    def is_due(self, observation: Observation) -> bool:
        """Whether there was a check."""
        return observation.step in self._statistics

    def check(self, observation: Observation) -> tuple[float | None, bool]:
        """Look the statistic up."""
        statistic = self._statistics[observation.step]
        if math.isnan(statistic):
            return None, False
        return statistic, statistic <= self._threshold if self._settled_below else statistic >= self._threshold


@dataclass(frozen=True)
class Candidate:
    """Detectors that must agree, at so many checks in a row."""

    members: tuple[Member, ...]
    repeats: int = 1

    @property
    def name(self) -> str:
        """As one would write it, with the settings."""
        names = ", ".join(member.name for member in self.members)
        name = names if len(self.members) == 1 else f"all({names})"
        return name if self.repeats == 1 else f"repeat({name}, {self.repeats})"

    def draw_step(self, origin: Origin, case: Case, kept: CaseRecord) -> int | None:
        """The 0-based step of the draw; None where it does not draw.

        Raises:
            InputError: the run is too short for it.
        """
        members = [member.built(origin, case, kept) for member in self.members]
        detector = members[0] if len(members) == 1 else AllOf(members)
        if self.repeats > 1:
            detector = Repeated(detector, self.repeats)
        for observation in observations(kept, self._steps(kept)):
            detector.update(observation)
            if detector.checked and detector.settled:
                return observation.step
        return None

    def _steps(self, kept: CaseRecord) -> Sequence[int]:
        """The steps that must be gone through: of readings alone only those of the checks."""
        if all(member.is_read for member in self.members):
            return sorted({int(step) for member in self.members for step in kept.readings[member.reading].steps})
        return range(len(kept.norm))


_NOTHING = np.zeros((0, 0))
_NO_MASK = np.zeros((0, 0), dtype=np.bool_)


def observations(kept: CaseRecord, steps: Sequence[int]) -> Iterator[Observation]:
    """The steps as a test on the norm sees them, without masks and scores."""
    norms, evidence = kept.norm.tolist(), kept.evidence.tolist()
    for step in steps:
        yield Observation(step, _NOTHING, _NO_MASK, {NUCLEAR_NORM: norms[step]}, evidence[step])
