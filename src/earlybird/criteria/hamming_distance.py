"""Hamming distance: the fraction of units in which two masks differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def hamming_distance(
    masks: NDArray[np.bool_], others: NDArray[np.bool_], *, units: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """Fraction of units in which two masks differ (You et al. 2020, arXiv 1909.11957, eq. 1)."""
    total = masks.shape[-1] * masks.shape[-2] if units is None else sum(units)
    return np.asarray((masks != others).sum((-1, -2)) / total, dtype=np.float64)
