"""The posterior probability that the window's level did not change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.base import StationarityTest

_LEAST_SEGMENT = 2


class BayesianChangePoint(StationarityTest):
    """Posterior probability of no change of level, against one change at an unknown place.

    Normal noise of unknown variance; a flat prior on the level, Zellner's with unit information (g = n) on the
    change, so that the Bayes factors are closed (Liang et al. 2008, JASA 103, eq. 6); the change's place is
    uniform, and a change is as probable as none beforehand. Settled when the posterior probability of none
    exceeds the threshold.
    """

    null = "none: a posterior probability, one change of level and none being equally probable beforehand"
    default_threshold = 0.5

    def statistic(self, window: NDArray[np.float64]) -> float:
        """Probability of no change, in [0, 1]."""
        from scipy.special import logsumexp

        n = len(window)
        shifted = window - window[0]
        centred = shifted - shifted.mean()
        centred /= np.abs(centred).max()  # whose squares may be too small to be numbers
        places = np.arange(_LEAST_SEGMENT, n - _LEAST_SEGMENT + 1)
        before = np.cumsum(centred)[places - 1]
        # The share of the sum of squares that a step after so many values explains.
        explained = before**2 * n / (places * (n - places)) / float(centred @ centred)
        left = np.clip(1 - explained, 0.0, 1.0)
        factors = (n - 2) / 2 * np.log1p(n) - (n - 1) / 2 * np.log1p(n * left)
        average = float(logsumexp(factors)) - np.log(len(places))
        return float(1 / (1 + np.exp(np.minimum(average, 700.0))))
