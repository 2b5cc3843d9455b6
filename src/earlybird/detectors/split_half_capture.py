"""Split-half capture: units ranked by the first half of the evidence, judged by the second."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.criteria import captured_by
from earlybird.detectors.base import Observation
from earlybird.detectors.halves import Half, HalvesCompared
from earlybird.masks import Rule
from earlybird.vocabulary import Score


class SplitHalfCapture(HalvesCompared):
    """Settled when the mask of the first half of the steps is a good choice by the second half alone.

    The statistic is captured(mask at half-time, evidence since): an out-of-sample test, because the second
    half has not seen the ranking. For scores that are means over the steps, the second half's evidence is the
    mean since half-time; for coefficients, what they have moved since. No window is to be chosen.

    Args:
        rule, threshold, start, total_steps: see `HalvesCompared`.
        score: what the observations' scores are.
    """

    def __init__(self, rule: Rule, score: Score, *, threshold: float, start: int, total_steps: int) -> None:
        super().__init__(rule, threshold=threshold, start=start, total_steps=total_steps)
        self._score = score

    def captured(self, half: Half, now: Observation) -> float:
        """By the evidence since half-time."""
        second = self._total(now.scores, now.observed) - self._total(half.scores, half.observed)
        return float(captured_by(self.rule, half.mask, second))

    def _total(self, scores: NDArray[np.floating], observed: int) -> NDArray[np.floating]:
        """What has been added up by then: a coefficient's movements, or as many steps' gradients."""
        return scores if self._score == "coefficient" else scores * observed
