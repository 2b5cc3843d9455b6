"""Split-half capture: units ranked by the first half of the evidence, judged by the second."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.detectors.base import Detector, Observation
from earlybird.detectors.halves import Halves
from earlybird.detectors.pruning import Pruning
from earlybird.detectors.scores import Score


class SplitHalfCapture(Detector):
    """Settled when the mask of the first half of the steps is a good choice by the second half alone.

    The statistic is captured(mask at half-time, evidence since): an out-of-sample test, because the second
    half has not seen the ranking. For scores that are means over the steps, the second half's evidence is the
    mean since half-time; for coefficients, what they have moved since. No window is to be chosen.

    Args:
        pruning: ratio and scope of the kind.
        score: what the observations' scores are.
        threshold: the least captured share that counts as settled.
        start: steps observed at the first check.
        total_steps: of the run.
    """

    def __init__(self, pruning: Pruning, score: Score, *, threshold: float, start: int, total_steps: int) -> None:
        super().__init__()
        self.threshold = threshold
        self._pruning = pruning
        self._score = score
        self._halves = Halves(start, total_steps)
        self.first_check = self._halves.first_check
        self._observed = 0

    def update(self, observation: Observation) -> None:
        """Hold the evidence so far, and compare if a check is due."""
        self._observed += 1
        half = self._halves.update(observation)
        self.checked = half is not None
        if half is None:
            return
        second = self._total(observation.scores, self._observed) - self._total(half.scores, half.observed)
        self.statistic = float(self._pruning.captured(half.mask, second))
        self.settled = self.statistic >= self.threshold and half.evidence and observation.evidence

    def _total(self, scores: NDArray[np.floating], observed: int) -> NDArray[np.floating]:
        """What has been added up by then: a coefficient's movements, or as many steps' gradients."""
        return scores if self._score == "coefficient" else scores * observed
