"""Mann-Kendall: a monotone trend by signs alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.base import StationarityTest


def score_and_variance(window: NDArray[np.float64]) -> tuple[int, float]:
    """Mann-Kendall's S, the number of rising less falling pairs, and its variance corrected for ties."""
    n = len(window)
    # Ranks compare as the values do, and their differences fit in the smallest integers.
    values, ranks, counts = np.unique(window, return_inverse=True, return_counts=True)
    signs = np.sign(ranks[None, :] - ranks[:, None])
    score = int(np.triu(signs, 1).sum())
    ties = int((counts * (counts - 1) * (2 * counts + 5)).sum()) if len(values) < n else 0
    return score, (n * (n - 1) * (2 * n + 5) - ties) / 18


def two_sided_p(score: int, variance: float) -> float:
    """Normal approximation with continuity correction; NaN where a corrected variance is not positive."""
    from scipy.special import erfc

    if variance <= 0:
        return math.nan
    z = (score - np.sign(score)) / math.sqrt(variance)
    return float(erfc(abs(z) / math.sqrt(2)))


class MannKendall(StationarityTest):
    """p-value of the Mann-Kendall trend test (Mann 1945; Kendall 1975), tie-corrected normal approximation.

    Settled when p exceeds the threshold: the study's rule.
    """

    null = "The window's values are exchangeable: no monotone trend."
    default_threshold = 0.20
    cost = "O(n^2)"

    def statistic(self, window: NDArray[np.float64]) -> float:
        """Two-sided p-value with continuity correction."""
        return two_sided_p(*score_and_variance(window))
