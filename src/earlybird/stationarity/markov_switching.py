"""Two states, moving and at rest: which one do the newest increments come from?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.base import StationarityTest
from earlybird.stationarity.equivalence import Z_95
from earlybird.stationarity.two_states import TwoStates

# Of the window's mean: a state whose increments add up to less over a whole window is at rest.
_MARGIN = 0.02


class MarkovSwitching(StationarityTest):
    """Probability of rest over the window's later half, from a hidden Markov model of its increments.

    Two states with a mean and a variance each (Hamilton 1989, Econometrica 57), fitted by statsmodels. A state is
    at rest where, with 95% confidence, its increments would add up to less than 2% of the mean over a window; both
    may be, or neither. The statistic is the smoothed probability of the states at rest, averaged over the later
    half; settled when it exceeds the threshold. A fit that does not exist, for instance because nearly all
    increments are 0, is no evidence.
    """

    null = "none: a posterior probability"
    default_threshold = 0.9
    cost = "O(n) in each of some hundred iterations of the fit"

    def statistic(self, window: NDArray[np.float64]) -> float:
        """Probability in [0, 1]; NaN where the model cannot be fitted."""
        states = TwoStates.fit(window)
        if states is None:
            return math.nan
        errors = np.sqrt(states.variances / states.weights)
        drifts = (np.abs(states.means) + Z_95 * errors) * len(window) * states.size
        at_rest = drifts < _MARGIN * abs(float(window.mean()))
        later = len(states.probabilities) // 2
        return float(states.probabilities[later:, at_rest].sum(-1).mean())
