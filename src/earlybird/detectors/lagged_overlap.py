"""Lagged overlap: the mask of some steps ago is nearly today's."""

from __future__ import annotations

from earlybird.criteria import overlap
from earlybird.detectors.base import Observation
from earlybird.detectors.lagged import LaggedComparison


class LaggedOverlap(LaggedComparison):
    """Settled when the mask keeps enough of the units that it kept `lag` steps ago.

    The statistic is the overlap, |kept in both| / |kept|. Hamming's rule with the time in between as a setting:
    successive masks are alike long before masks a twentieth of the run apart are.
    """

    def similarity(self, earlier: Observation, now: Observation) -> float:
        """Overlap of the two masks."""
        return float(overlap(now.mask, earlier.mask))
