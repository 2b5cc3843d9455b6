"""A series seen as the path of two hidden states, each with steps of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.silence import without_warnings

# Fewer increments cannot tell two means, two variances and two transitions apart.
_LEAST_INCREMENTS = 12


@dataclass(frozen=True)
class TwoStates:
    """A hidden Markov model of a series' increments (Hamilton 1989, Econometrica 57).

    Attributes:
        size: the standard deviation of all increments, in which the others are told.
        probabilities: of each state at each increment, smoothed, (n - 1, 2); a row adds up to 1.
        means: of the increments in each state, (2,).
        variances: likewise, (2,).
    """

    size: float
    probabilities: NDArray[np.float64]
    means: NDArray[np.float64]
    variances: NDArray[np.float64]

    @classmethod
    def fit(cls, series: NDArray[np.float64]) -> Self | None:
        """Fit a finite series (n,) by statsmodels.

        None where there is no fit: below 13 values, without any change, or where nearly all increments are 0.
        """
        from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

        increments = np.diff(series)
        if len(increments) < _LEAST_INCREMENTS:
            return None
        size = float(increments.std())
        if size == 0 or not math.isfinite(size):
            return None
        scaled = increments / size
        try:
            with without_warnings():
                model = MarkovRegression(scaled, k_regimes=2, trend="c", switching_variance=True)
                fit = model.fit(disp=False)
                states = np.asarray(fit.smoothed_marginal_probabilities, dtype=np.float64)
        # A RuntimeError where the transitions that the optimizer tried have no steady state.
        except (ValueError, ArithmeticError, RuntimeError, np.linalg.LinAlgError):
            return None
        weights = states.sum(0)
        if not np.isfinite(states).all() or (weights <= 0).any():
            return None
        means = scaled @ states / weights
        variances = np.maximum(scaled**2 @ states / weights - means**2, 0.0)
        return cls(size, states, means, variances)

    @property
    def weights(self) -> NDArray[np.float64]:
        """How many increments each state has, (2,)."""
        return np.asarray(self.probabilities.sum(0))

    @property
    def quieter(self) -> int:
        """The state of the smaller increments, 0 or 1."""
        return int(np.argmin(self.means**2 + self.variances))

    def standard_deviation(self, state: int) -> float:
        """Of the increments in a state, in the series' unit."""
        return self.size * math.sqrt(float(self.variances[state]))
