"""The moving average that tests look at: over a value and those before it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def trailing_average(values: NDArray[np.float64], smoothing: int) -> NDArray[np.float64]:
    """Means of every `smoothing` successive values, (n,) -> (n - smoothing + 1,), n at least `smoothing`.

    Averaged around the newest value: the average of a constant series is then exactly constant.

    >>> trailing_average(np.array([1.0, 2.0, 6.0]), 2)
    array([1.5, 4. ])
    """
    if smoothing == 1:
        return values
    newest = values[-1]
    weights = np.full(smoothing, 1 / smoothing)
    return np.asarray(np.convolve(values - newest, weights, mode="valid") + newest)
