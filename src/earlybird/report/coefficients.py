"""The coefficients themselves over the steps: a line for each of few units, quantiles for many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earlybird.report.series import chunks_of, coefficients_at, sampled_steps
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import Kind

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
# More lines than this are a carpet: quantiles say more.
_MOST_LINES = 256
# What a page can draw without stutter and carry in a few ten thousand bytes, over all lines together.
_MOST_POINTS = 20_000


@dataclass(frozen=True)
class CoefficientLines:
    """Every unit's coefficient: values (n, layers, units), of which `units[layer]` are real."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    units: tuple[int, ...]


@dataclass(frozen=True)
class CoefficientQuantiles:
    """Quantiles over the units: values (1 + layers, quantiles, n), all layers together first."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


Coefficients = CoefficientLines | CoefficientQuantiles


def coefficients(trajectory: Trajectory, kind: Kind) -> Coefficients:
    """A line for each head or expert where they can be told apart, otherwise the quantiles.

    Raises:
        InputError: the trajectory did not record coefficients.
    """
    total = sum(trajectory.shape.units[kind])
    if kind != "neurons" and total <= _MOST_LINES:
        steps = sampled_steps(trajectory.steps, _points_of(total))
        return CoefficientLines(steps, coefficients_at(trajectory, kind, steps), trajectory.shape.units[kind])
    lines = len(QUANTILES) * (1 + len(trajectory.shape.units[kind]))
    return coefficient_quantiles(trajectory, kind, sampled_steps(trajectory.steps, _points_of(lines)))


def _points_of(lines: int) -> int:
    """Points of each of so many lines."""
    return min(1000, max(100, _MOST_POINTS // max(1, lines)))


def coefficient_quantiles(trajectory: Trajectory, kind: Kind, steps: NDArray[np.int64]) -> CoefficientQuantiles:
    """Quantiles at some steps, over all units and over those of each layer; padding does not count.

    Raises:
        InputError: the trajectory did not record coefficients.
    """
    units = np.asarray(trajectory.shape.units[kind])
    _, width = trajectory.shape.record(kind)
    real = np.arange(width) < units[:, None]
    result = np.full((1 + len(units), len(QUANTILES), len(steps)), np.nan)
    done = 0
    for chunk in chunks_of(trajectory, kind, steps):
        values = coefficients_at(trajectory, kind, chunk)
        here = slice(done, done + len(chunk))
        result[0, :, here] = np.quantile(values[:, real], QUANTILES, axis=-1)
        for layer, inside in enumerate(real):
            if inside.any():
                result[1 + layer, :, here] = np.quantile(values[:, layer, inside], QUANTILES, axis=-1)
        done += len(chunk)
    return CoefficientQuantiles(steps, result)
