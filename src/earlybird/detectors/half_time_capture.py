"""Half-time capture: the mask taken at half of the steps is still a good choice today."""

from __future__ import annotations

from earlybird.criteria import captured_by
from earlybird.detectors.base import Observation
from earlybird.detectors.halves import Half, HalvesCompared


class HalfTimeCapture(HalvesCompared):
    """Settled when the mask at half of the steps so far captures enough by today's scores.

    The statistic is captured(mask at half-time, today's scores): 1 where that mask is as good a choice as
    today's own, 0 where it is no better than chance. Units of nearly equal score may change places without
    moving it, and a norm that stands still while the mask turns over does not deceive it. Today's scores
    contain what made the mask, so that the statistic flatters; `SplitHalfCapture` does not.
    """

    def captured(self, half: Half, now: Observation) -> float:
        """By today's scores."""
        return float(captured_by(self.rule, half.mask, now.scores))
