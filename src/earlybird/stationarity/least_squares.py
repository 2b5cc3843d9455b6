"""The line through a window by ordinary least squares, and the standard error of its slope."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TimeTrend:
    """y_i = level + slope * i + residual_i over the window's n points."""

    slope: float
    centred_time: NDArray[np.float64]
    residuals: NDArray[np.float64]

    @classmethod
    def fit(cls, window: NDArray[np.float64]) -> Self:
        """Fit a window (n,), n >= 3."""
        time: NDArray[np.float64] = np.arange(len(window), dtype=np.float64) - (len(window) - 1) / 2
        # The mean of the values themselves is rounded to their size; that of their differences is not.
        shifted = window - window[0]
        centred: NDArray[np.float64] = shifted - shifted.mean()
        slope = float(time @ centred / (time @ time))
        residuals: NDArray[np.float64] = centred - slope * time
        return cls(slope, time, residuals)

    def classic_error(self) -> float:
        """Standard error of the slope under independent errors of equal variance."""
        variance = float(self.residuals @ self.residuals) / (len(self.residuals) - 2)
        return math.sqrt(variance / float(self.centred_time @ self.centred_time))

    def newey_west_error(self, lags: int) -> float:
        """Standard error of the slope robust to serial correlation."""
        return newey_west_error(self.centred_time, self.residuals, lags)


def newey_west_error(regressor: NDArray[np.float64], residuals: NDArray[np.float64], lags: int) -> float:
    """Standard error of a coefficient robust to serial correlation (Newey and West 1987).

    Bartlett weights up to `lags`. The constant drops out by the Frisch-Waugh-Lovell theorem, so only the score
    series of the centred regressor (n,) is summed; residuals (n,) are those of the whole regression.
    """
    score = regressor * residuals
    long_run = float(score @ score)
    for lag in range(1, min(lags, len(score) - 1) + 1):
        long_run += 2 * (1 - lag / (lags + 1)) * float(score[lag:] @ score[:-lag])
    return math.sqrt(max(long_run, 0.0)) / float(regressor @ regressor)
