"""Fixed time: the draw comes when so much of the run has passed."""

from __future__ import annotations

import math

from earlybird.detectors.base import Detector, Observation


class FixedTime(Detector):
    """Settled from a fixed part of the run on, whatever the masks do (EarlyBERT, Chen et al. 2021, arXiv 2101.00063).

    The statistic is the share of the planned steps that has passed. What a draw that waits for settled masks is worth
    is known only beside one that waits for nothing.

    Args:
        threshold: the share, in (0, 1).
        total_steps: planned.
    """

    def __init__(self, *, threshold: float, total_steps: int) -> None:
        # 0.07 x 100 is a little more than 7, which is meant.
        super().__init__(earliest=math.ceil(threshold * total_steps - 1e-9))
        self._total_steps = total_steps

    def check(self, observation: Observation) -> tuple[float, bool]:
        """Look at the time."""
        return observation.observed / self._total_steps, True
