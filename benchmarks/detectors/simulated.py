"""Random score paths of which it is known when their mask settles.

A unit's path is Gaussian, every unit's has the same law. Then a mask taken at step t captures of the last step's gain,
on average over many units, exactly the correlation rho(t) of a unit's score at t with its last: the expectation of a
last score, given the present one, is rho times it, in standard deviations. So rho is computed, and the known settling
step is the first after which rho stays at 0.95 or more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

Outlook = Literal["settles", "wanders on", "turns over"]

_SETTLED = 0.95


@dataclass(frozen=True)
class Coefficients:
    """Coefficient-like: a random walk with a drift of its own direction for each unit, both dying away.

    Attributes:
        variances: (steps,) of the walk's step.
        drift: (steps,) standard deviation over the units of what drift adds at the step.
    """

    variances: NDArray[np.float64]
    drift: NDArray[np.float64]

    def correlations(self) -> NDArray[np.float64]:
        """rho(t), (steps,)."""
        walk, drift = np.cumsum(self.variances), np.cumsum(self.drift)
        return (walk + drift * drift[-1]) / np.sqrt((walk + drift**2) * (walk[-1] + drift[-1] ** 2))

    def scores(self, shape: tuple[int, int], random: np.random.Generator) -> NDArray[np.float64]:
        """Paths, (steps, layers, units)."""
        steps = random.normal(size=(len(self.variances), *shape)) * np.sqrt(self.variances)[:, None, None]
        return np.asarray(np.cumsum(steps, axis=0) + np.cumsum(self.drift)[:, None, None] * random.normal(size=shape))


@dataclass(frozen=True)
class Gradients:
    """Gradient-like: the mean so far of a unit's true importance, which may wander, plus noise at each step.

    Attributes:
        variances: (steps,) of the importance's step; the first is that of its start.
        noise: standard deviation of a step's evidence.
    """

    variances: NDArray[np.float64]
    noise: float

    def correlations(self) -> NDArray[np.float64]:
        """rho(t), (steps,)."""
        steps = np.arange(1, len(self.variances) + 1)
        # The step that importance made at v is in (t - v + 1) / t of the mean at t.
        weights = np.clip(steps[:, None] - steps + 1, 0, None) / steps[:, None]
        covariances = (weights * weights[-1]) @ self.variances + self.noise**2 / steps[-1]
        variances = weights**2 @ self.variances + self.noise**2 / steps
        return covariances / np.sqrt(variances * variances[-1])

    def scores(self, shape: tuple[int, int], random: np.random.Generator) -> NDArray[np.float64]:
        """Paths, (steps, layers, units)."""
        steps = len(self.variances)
        walk = np.cumsum(random.normal(size=(steps, *shape)) * np.sqrt(self.variances)[:, None, None], axis=0)
        evidence = walk + self.noise * random.normal(size=walk.shape)
        return np.asarray(np.cumsum(evidence, axis=0) / np.arange(1, steps + 1)[:, None, None])


def settling_step(correlations: NDArray[np.float64]) -> int:
    """0-based step from which on rho stays at 0.95 or more."""
    below = np.flatnonzero(correlations < _SETTLED)
    return int(below[-1]) + 1 if len(below) else 0


def random_coefficients(outlook: Outlook, steps: int, random: np.random.Generator) -> Coefficients:
    """One law of coefficient-like paths.

    Those that settle do so at 10% to 60% of the run. Those that wander on, as ever or ever faster, do not before
    90%. Those that turn over settle at 5% to 20%, and at 40% to 60% a second walk, three times the first, begins.
    """
    times = np.arange(steps)
    # How much of the last scores' variance is drift: less than half, so that the walk decides when it settles.
    drift = random.uniform(0, 0.5)
    if outlook == "wanders on":
        growth = random.choice([0.0, 1.0])
        return Coefficients((1.0 + times) ** growth, np.zeros(steps))
    last = random.uniform(0.10, 0.60) if outlook == "settles" else random.uniform(0.05, 0.20)

    def dying(rate: float) -> Coefficients:
        decay = np.exp(-rate * times / steps)
        share = decay / decay.sum()
        return Coefficients(share * (1 - drift), share * np.sqrt(drift))

    wanted = int(last * steps)
    # The faster it dies away, the earlier it settles.
    rate = brentq(lambda rate: dying(rate).correlations()[wanted] - _SETTLED, -50.0, 1000.0, xtol=1e-6)
    first = dying(rate)
    if outlook == "settles":
        return first
    again = int(random.uniform(0.40, 0.60) * steps)
    second = np.roll(first.variances, again) * (times >= again)
    return Coefficients(first.variances + 3 * second, first.drift)


def random_gradients(outlook: Outlook, steps: int, random: np.random.Generator) -> Gradients:
    """One law of gradient-like paths.

    Those that settle have a constant importance, and noise so large that they do at 10% to 60% of the run. That of
    those that wander on never stops, their mean settles at 66%. That of those that turn over is another from 40% to
    60% of the run on.
    """
    variances = np.zeros(steps)
    variances[0] = 1.0
    if outlook == "wanders on":
        variances[:] = 1.0
        return Gradients(variances, noise=random.uniform(0, 5))
    wanted = int((random.uniform(0.10, 0.60) if outlook == "settles" else random.uniform(0.05, 0.20)) * steps)
    noise = brentq(lambda noise: Gradients(variances, noise).correlations()[wanted] - _SETTLED, 1e-3, 1e3)
    if outlook == "turns over":
        variances = variances.copy()
        variances[int(random.uniform(0.40, 0.60) * steps)] = 4.0
    return Gradients(variances, noise)
