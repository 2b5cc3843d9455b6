"""Whether a window is a straight line, as far as floating-point numbers can say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.least_squares import TimeTrend

# Rounding of each value, and of the line through all of them, in units of the largest value's last digit.
_ROUNDING = 64 * float(np.finfo(np.float64).eps)


def is_ramp(window: NDArray[np.float64]) -> bool:
    """True for a monotone window (n,) of more than two levels that lies on its own line but for rounding.

    Two levels are a jump, which a test may take for rest once it lies far enough back.
    """
    steps = np.diff(window)
    if not ((steps >= 0).all() or (steps <= 0).all()) or np.count_nonzero(steps) < 2:
        return False
    size = float(np.abs(window).max())
    return bool(np.abs(TimeTrend.fit(window).residuals).max() <= _ROUNDING * size)
