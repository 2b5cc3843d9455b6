"""The published procedure, written down straightforwardly with numpy, statsmodels and pymannkendall.

A mask by `numpy.quantile`, in each layer for heads and over all layers for neurons; its nuclear norm by
`numpy.linalg.norm`; the mean of the last 200 norms; every 100 steps a test on the last 300 of these means, or, as the
study's notebooks ran it, neurons without the mean and only 100 values after the first window. The step drawn is that
at which the last kind settles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pymannkendall
import statsmodels.api as sm
from numpy.typing import NDArray
from statsmodels.tsa.stattools import adfuller

SMOOTHING, WINDOW, EVERY, LATER_WINDOW = 200, 300, 100, 100
TESTS = ("ols", "mann-kendall", "adf")
THRESHOLDS = {"ols": 0.20, "mann-kendall": 0.20, "adf": 0.05}
NOTEBOOK_THRESHOLD = 0.10


def norm(deviation: NDArray[np.float32], ratio: float, kind: str) -> float:
    """Nuclear norm of the mask of one step, from the coefficients' deviations from 1, (layers, units)."""
    magnitude = np.abs(1 + deviation.astype(np.float64))
    threshold = np.quantile(magnitude, ratio, axis=-1, keepdims=True) if kind == "heads" else None
    kept = magnitude > (np.quantile(magnitude, ratio) if threshold is None else threshold)
    return float(np.linalg.norm(kept.astype(np.float64), ord="nuc"))


def p_value(test: str, window: NDArray[np.float64]) -> float:
    if test == "ols":
        return float(sm.OLS(window, sm.add_constant(np.arange(len(window)))).fit().pvalues[1])
    if test == "mann-kendall":
        return float(pymannkendall.original_test(window).p)
    return float(adfuller(window, regression="c", autolag="AIC", result_object=True).pvalue)


@dataclass
class KindDetector:
    """One kind's norms so far and what the last test on them said."""

    test: str
    threshold: float
    smoothing: int
    notebook: bool

    def __post_init__(self) -> None:
        self.norms: list[float] = []
        self.smoothed: list[float] = []
        self.tested = False
        self.settled_at: int | None = None

    def update(self, value: float) -> None:
        self.norms.append(value)
        if len(self.norms) >= self.smoothing:
            self.smoothed.append(float(np.mean(self.norms[-self.smoothing :])))
        if self.settled_at is not None or len(self.norms) % EVERY or len(self.smoothed) < WINDOW:
            return
        window = np.array(self.smoothed[-(LATER_WINDOW if self.notebook and self.tested else WINDOW) :])
        self.tested = True
        if window.min() == window.max():
            settled = True  # the libraries raise, return NaN or 1
        else:
            p = p_value(self.test, window)
            settled = p < self.threshold if self.test == "adf" else p > self.threshold
        if settled:
            self.settled_at = len(self.norms) - 1


def detectors(test: str, *, notebook: bool, threshold: float | None = None) -> dict[str, KindDetector]:
    """A detector for each kind, with the published threshold or another."""
    if threshold is None:
        threshold = NOTEBOOK_THRESHOLD if notebook else THRESHOLDS[test]
    smoothing = {"heads": SMOOTHING, "neurons": 1 if notebook else SMOOTHING}
    return {kind: KindDetector(test, threshold, smoothing[kind], notebook) for kind in smoothing}


def draw(norms: Mapping[str, NDArray[np.float64]], test: str, *, notebook: bool) -> int | None:
    """The 0-based step drawn from the norms of a run, (steps,) per kind, or None."""
    rules = detectors(test, notebook=notebook)
    for kind, rule in rules.items():
        for value in norms[kind]:
            rule.update(value)
            if rule.settled_at is not None:
                break
    settled = [rule.settled_at for rule in rules.values()]
    return None if None in settled else max(step for step in settled if step is not None)
