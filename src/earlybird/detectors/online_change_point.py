"""Bayesian change points online: how long has the level stood?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from earlybird.detectors.base import Detector, Observation
from earlybird.detectors.criterion import NUCLEAR_NORM, Criterion
from earlybird.errors import InputError

# The prior of a level and its noise, for values divided by the first one: the level may lie ten of the noise's
# standard deviations away, that noise is about 1%, and both count as little as two values.
_LEVEL_WEIGHT = 0.01
_SHAPE = 1.0
_RATE = 1e-4
# Run lengths this improbable beside the likeliest are forgotten, and never more than so many are held.
_FORGOTTEN = math.log(1e-9)
_MOST_RUNS = 1000


class OnlineChangePoint(Detector):
    """Settled when the criterion's level has probably not changed for a whole window (Adams and MacKay 2007).

    The posterior of the run length, the steps since the last change, is carried from step to step (arXiv
    0710.3742, algorithm 1): levels with normal noise of unknown variance, one change in the whole run expected
    beforehand. The statistic is the probability of a run length of at least `window`.

    Args:
        threshold: the least probability that counts as settled.
        window: steps without a change that are asked for.
        every: steps between checks.
        start: no check before so many steps.
        total_steps: of the run.
        criterion: the series.
    """

    def __init__(
        self,
        *,
        threshold: float,
        window: int,
        every: int,
        total_steps: int,
        start: int = 0,
        criterion: Criterion = NUCLEAR_NORM,
    ) -> None:
        if window < 1:
            raise InputError(f"window must be at least 1 step, got {window}")
        super().__init__(every=every, earliest=max(window + criterion.missing, start), criteria=(criterion,))
        self.threshold = threshold
        self._window = window
        self._scale = 0.0
        self._runs = RunLengths(1 / max(2, total_steps))

    def hold(self, observation: Observation) -> None:
        """Update the posterior with the criterion's value."""
        value = observation.values[self.criteria[0]]
        if math.isfinite(value):
            self._scale = self._scale or abs(value) or 1.0
            self._runs.update(value / self._scale)

    def check(self, observation: Observation) -> tuple[float, bool]:
        """The probability of so long a run."""
        probability = self._runs.probability_of_at_least(self._window)
        return probability, probability >= self.threshold and math.isfinite(observation.values[self.criteria[0]])


class RunLengths:
    """The posterior of the run length under a constant hazard, Student-t predictions from a normal-gamma prior."""

    def __init__(self, hazard: float) -> None:
        self._log_hazard = math.log(hazard), math.log1p(-hazard)
        self._lengths: NDArray[np.int64] = np.zeros(1, dtype=np.int64)
        self._log_weights: NDArray[np.float64] = np.zeros(1)
        self._level: float | None = None  # the first value: every level's prior mean
        self._means: NDArray[np.float64] = np.zeros(1)
        self._rates: NDArray[np.float64] = np.full(1, _RATE)

    def update(self, value: float) -> None:
        """Take the next value of the series."""
        from scipy.special import gammaln, logsumexp

        if self._level is None:
            self._level = value
            self._means[:] = value
        weights = _LEVEL_WEIGHT + self._lengths
        shapes = _SHAPE + self._lengths / 2
        deviations = value - self._means
        # Equations of the normal-gamma model: Murphy (2007), "Conjugate Bayesian analysis of the Gaussian".
        scales = self._rates * (weights + 1) / (shapes * weights)
        predictions = (
            gammaln(shapes + 0.5)
            - gammaln(shapes)
            - 0.5 * np.log(2 * np.pi * shapes * scales)
            - (shapes + 0.5) * np.log1p(deviations**2 / (2 * shapes * scales))
        )
        joint = self._log_weights + predictions
        log_hazard, log_survival = self._log_hazard
        log_weights = np.concatenate([[logsumexp(joint) + log_hazard], joint + log_survival])
        log_weights -= logsumexp(log_weights)
        kept = log_weights >= log_weights.max() + _FORGOTTEN
        if kept.sum() > _MOST_RUNS:
            kept &= log_weights >= np.partition(log_weights, -_MOST_RUNS)[-_MOST_RUNS]
        self._lengths = np.concatenate([[0], self._lengths + 1])[kept]
        self._means = np.concatenate([[self._level], self._means + deviations / (weights + 1)])[kept]
        self._rates = np.concatenate([[_RATE], self._rates + weights * deviations**2 / (2 * (weights + 1))])[kept]
        self._log_weights = log_weights[kept] - logsumexp(log_weights[kept])

    def probability_of_at_least(self, length: int) -> float:
        """Posterior probability that the newest level has stood for at least so many values."""
        return float(np.exp(self._log_weights[self._lengths >= length]).sum())
