"""Sen's slope: the median of the slopes between all pairs of points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sen_slope(window: NDArray[np.float64]) -> float:
    """The Theil-Sen estimate of a window's slope (Sen 1968), per step; (n,) -> scalar, O(n^2)."""
    earlier, later = np.triu_indices(len(window), 1)
    return float(np.median((window[later] - window[earlier]) / (later - earlier)))


def detrended(window: NDArray[np.float64]) -> NDArray[np.float64]:
    """The window less its Sen slope, (n,) -> (n,)."""
    # The two points whose slope is the median now tie but for rounding, which then decides their ranks: counted
    # from 1, it does so as in the package pymannkendall, and p-values agree.
    return window - sen_slope(window) * np.arange(1, len(window) + 1)
