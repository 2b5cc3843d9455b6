"""Two states, moving and at rest: which one do the newest increments come from?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.base import StationarityTest
from earlybird.stationarity.equivalence import Z_95
from earlybird.stationarity.silence import without_warnings

# Fewer increments cannot tell two means, two variances and two transitions apart.
_LEAST_INCREMENTS = 12
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
        from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

        increments = np.diff(window)
        size = float(increments.std())
        if len(increments) < _LEAST_INCREMENTS or size == 0 or not math.isfinite(size):
            return math.nan
        scaled = increments / size
        try:
            with without_warnings():
                model = MarkovRegression(scaled, k_regimes=2, trend="c", switching_variance=True)
                fit = model.fit(disp=False)
                states = np.asarray(fit.smoothed_marginal_probabilities, dtype=np.float64)
        # A RuntimeError where the transitions that the optimizer tried have no steady state.
        except (ValueError, ArithmeticError, RuntimeError, np.linalg.LinAlgError):
            return math.nan
        weights = states.sum(0)
        if not np.isfinite(states).all() or (weights <= 0).any():
            return math.nan
        means = scaled @ states / weights
        variances = np.maximum(scaled**2 @ states / weights - means**2, 0.0)
        drifts = (np.abs(means) + Z_95 * np.sqrt(variances / weights)) * len(window) * size
        at_rest = drifts < _MARGIN * abs(float(window.mean()))
        return float(states[len(states) // 2 :, at_rest].sum(-1).mean())
