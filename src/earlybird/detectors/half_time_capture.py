"""Half-time capture: the mask taken at half of the steps is still a good choice today."""

from __future__ import annotations

from earlybird.detectors.base import Detector, Observation
from earlybird.detectors.halves import Halves
from earlybird.detectors.pruning import Pruning


class HalfTimeCapture(Detector):
    """Settled when the mask at half of the steps so far captures enough by today's scores.

    The statistic is captured(mask at half-time, today's scores): 1 where that mask is as good a choice as
    today's own, 0 where it is no better than chance. Units of nearly equal score may change places without
    moving it, and a norm that stands still while the mask turns over does not deceive it. Today's scores
    contain what made the mask, so that the statistic flatters; `SplitHalfCapture` does not.

    Args:
        pruning: ratio and scope of the kind.
        threshold: the least captured share that counts as settled.
        start: steps observed at the first check.
        total_steps: of the run.
    """

    def __init__(self, pruning: Pruning, *, threshold: float, start: int, total_steps: int) -> None:
        super().__init__()
        self.threshold = threshold
        self._pruning = pruning
        self._halves = Halves(start, total_steps)
        self.first_check = self._halves.first_check

    def update(self, observation: Observation) -> None:
        """Hold the mask, and compare if a check is due."""
        half = self._halves.update(observation)
        self.checked = half is not None
        if half is None:
            return
        self.statistic = float(self._pruning.captured(half.mask, observation.scores))
        self.settled = self.statistic >= self.threshold and half.evidence and observation.evidence
