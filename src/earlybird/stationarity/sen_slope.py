"""Sen's slope: the median of the slopes between all pairs of points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sen_slope(window: NDArray[np.float64]) -> float:
    """The Theil-Sen estimate of a window's slope (Sen 1968), per step; (n,) -> scalar, O(n^2)."""
    earlier, later = np.triu_indices(len(window), 1)
    return float(np.median((window[later] - window[earlier]) / (later - earlier)))


def detrended(window: NDArray[np.float64]) -> NDArray[np.float64]:
    """The window less its Sen slope; what is left of a ramp by rounding alone becomes exactly 0."""
    # Counted from the first value, so that the level's size costs no digits.
    shifted = window - window[0]
    left: NDArray[np.float64] = shifted - sen_slope(shifted) * np.arange(len(window))
    rounding = len(window) * float(np.finfo(np.float64).eps) * float(np.abs(shifted).max())
    return np.where(np.abs(left) <= rounding, 0.0, left)
