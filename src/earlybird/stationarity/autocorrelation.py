"""The autocorrelation function of a window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def autocorrelation(window: NDArray[np.float64]) -> NDArray[np.float64]:
    """Autocorrelations at lags 0 to n - 1, every lag divided by n (biased); zeros after lag 0 if constant."""
    centred = window - window.mean()
    covariance = np.correlate(centred, centred, "full")[len(window) - 1 :]
    if covariance[0] == 0:
        return np.asarray(np.eye(1, len(window))[0])
    return np.asarray(covariance / covariance[0])
