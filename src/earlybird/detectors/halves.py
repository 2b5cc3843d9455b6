"""When a rule that compares a run's first half with the present looks: at geometrically growing steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earlybird.detectors.base import Observation

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
        self._observed = 0

    def update(self, observation: Observation) -> Half | None:
        """Take the next observation; the half of its steps if a check is due, otherwise None."""
        self._observed += 1
        if self._observed in self._halves:
            self._held[self._observed] = Half(
                self._observed, observation.mask.copy(), observation.scores.copy(), observation.evidence
            )
        if self._observed not in self._checks:
            return None
        half = self._held[self._observed // 2]
        self._held = {observed: held for observed, held in self._held.items() if observed >= half.observed}
        return half
