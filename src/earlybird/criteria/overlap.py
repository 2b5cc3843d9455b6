"""Overlap: the share of kept units that two masks have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def overlap(masks: NDArray[np.bool_], others: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of two masks with equal kept count, |kept in both| / |kept|."""
    both = (masks & others).sum((-1, -2))
    return np.asarray(both / others.sum((-1, -2)), dtype=np.float64)
