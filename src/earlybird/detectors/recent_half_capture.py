"""Recent-half capture: of the recent half of the steps, units ranked by its first half, judged by its second."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.criteria import captured_by
from earlybird.detectors.base import Detector, Observation
from earlybird.masks import Rule
from earlybird.vocabulary import Score

# From one check to the next, relative to the steps observed.
_GROWTH = 1.1


class RecentHalfCapture(Detector):
    """Settled when the ranking by one quarter of the evidence is a good choice by the next quarter alone.

    At a check after n steps the first n/2 are forgotten: there a new head is learning, and the gradients describe that.
    The statistic is captured(mask of the steps n/2 to 3n/4, mean of the steps 3n/4 to n), an out-of-sample test that
    sees both the noise of few examples and the drift of the ranking. It asks how much evidence there is, and nothing of
    the run's length: a run planned three times as long draws at the same step. The ticket is taken by the mean of the
    recent half. For coefficients, which are no means over steps, the evidence of some steps is what they have moved,
    and the ticket that of the check's own step.

    Checks are a tenth apart, relative to the steps observed, so that at most a dozen sums are held.

    Args:
        rule: the kind's.
        score: what the observations' scores are; a mean over the steps.
        threshold: the least captured share that counts as settled.
        start: steps observed at the first check.
    """

    def __init__(self, rule: Rule, score: Score, *, threshold: float, start: int) -> None:
        super().__init__(earliest=max(4, start))
        self.rule = rule
        self.threshold = threshold
        self.score = score
        self._means = score != "coefficient"
        self._next = self.first_check
        self._marks = _marks_ahead(self._next)
        self._sums: dict[int, NDArray[np.floating]] = {}
        self._chosen: tuple[NDArray[np.floating], NDArray[np.bool_]] | None = None

    def hold(self, observation: Observation) -> None:
        """Keep the sum over the steps so far, if a later check begins or is halved here."""
        observed = observation.observed
        if observed in self._marks:
            self._sums[observed] = self._total(observation)

    def is_due(self, observation: Observation) -> bool:
        """A tenth more steps than at the check before."""
        return observation.observed == self._next

    def check(self, observation: Observation) -> tuple[float, bool]:
        """How much of the later quarter's evidence the earlier quarter's mask captures."""
        observed = observation.observed
        begin, middle = _marks_of(observed)
        total = self._total(observation)
        earlier, later = self._sums[middle] - self._sums[begin], total - self._sums[middle]
        mask, tied = self.rule.masks_and_ties(earlier)
        share = float(captured_by(self.rule, mask, later))
        self._chosen = None
        if self._means:
            recent = (total - self._sums[begin]) / (observed - begin)
            recent_mask, recent_tied = self.rule.masks_and_ties(recent)
            tied |= recent_tied
            self._chosen = recent, recent_mask
        self._next = _after(observed)
        self._marks = _marks_ahead(self._next)
        self._sums = {mark: total for mark, total in self._sums.items() if mark in self._marks}
        # Where a mask is an accident of position it says nothing.
        return share, share >= self.threshold and not tied

    def _total(self, observation: Observation) -> NDArray[np.floating]:
        """All evidence so far."""
        return observation.scores * observation.observed if self._means else observation.scores

    def chosen(self, observation: Observation) -> Observation:
        """By the mean of the recent half at the newest check."""
        if self._chosen is None:
            return observation
        scores, mask = self._chosen
        return Observation(observation.step, scores, mask, observation.values, observation.evidence)


def _marks_of(check: int) -> tuple[int, int]:
    """Where the recent half of a check begins, and its own half."""
    return check // 2, check // 2 + (check - check // 2) // 2


def _after(check: int) -> int:
    return max(check + 1, round(check * _GROWTH))


def _marks_ahead(check: int) -> set[int]:
    """The steps whose sums a check and those after it need, as far ahead as they begin before that check."""
    begin, middle = _marks_of(check)
    marks = {begin, middle}
    later = _after(check)
    while later // 2 <= check:
        marks.update(_marks_of(later))
        later = _after(later)
    return marks
