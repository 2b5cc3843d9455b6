"""Rules that compare a run's first half with the present, at geometrically growing steps."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earlybird.detectors.base import Detector, Observation
from earlybird.masks import Rule

_GROWTH = 1.1


@dataclass(frozen=True)
class Half:
    """What was seen when half of the steps up to a check had been observed.

    Attributes:
        observed: steps observed by then.
        mask: (layers, units) bool.
        scores: (layers, units) float.
        evidence: whether the mask says anything.
    """

    observed: int
    mask: NDArray[np.bool_]
    scores: NDArray[np.floating]
    evidence: bool


class Halves:
    """Hands out, at every check, what was seen at half of its steps.

    The checks are a tenth apart, relative to the steps observed: a run looks at its masks equally often between
    2% and 4% as between 20% and 40%, and never more than nine halves are held, whatever the run's length.

    Args:
        start: steps observed at the first check.
        total_steps: of the run; the last check is not after it.
    """

    def __init__(self, start: int, total_steps: int) -> None:
        start = max(2, start)
        growths = np.log(max(1.0, total_steps / start)) / np.log(_GROWTH)
        checks = np.unique(np.round(start * _GROWTH ** np.arange(int(growths) + 1)).astype(int))
        self.first_check = start
        self._checks = {int(check) for check in checks}
        self._halves = {check // 2 for check in self._checks}
        self._held: dict[int, Half] = {}

    def update(self, observation: Observation) -> Half | None:
        """Take the next observation; the half of its steps if a check is due, otherwise None."""
        observed = observation.observed
        if observed in self._halves:
            self._held[observed] = Half(
                observed, observation.mask.copy(), observation.scores.copy(), observation.evidence
            )
        if observed not in self._checks:
            return None
        half = self._held[observed // 2]
        self._held = {observed: held for observed, held in self._held.items() if observed >= half.observed}
        return half


class HalvesCompared(Detector):
    """Settled when what was seen at half of the steps captures enough at a check.

    Args:
        rule: the kind's.
        threshold: the least captured share that counts as settled.
        start: steps observed at the first check.
        total_steps: of the run.
    """

    def __init__(self, rule: Rule, *, threshold: float, start: int, total_steps: int) -> None:
        self.rule = rule
        self.threshold = threshold
        self._halves = Halves(start, total_steps)
        self._half: Half | None = None
        super().__init__(earliest=self._halves.first_check)

    def hold(self, observation: Observation) -> None:
        """Hold what was seen, if a later check looks back at it."""
        self._half = self._halves.update(observation)

    def is_due(self, observation: Observation) -> bool:
        """At the halves' own steps."""
        return self._half is not None

    def check(self, observation: Observation) -> tuple[float, bool]:
        """How much is captured."""
        assert self._half is not None
        share = self.captured(self._half, observation)
        return share, share >= self.threshold and self._half.evidence

    @abstractmethod
    def captured(self, half: Half, now: Observation) -> float:
        """The share that the mask of the first half captures."""
