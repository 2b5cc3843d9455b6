"""Effective rank: over how many singular values a mask is spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.criteria.singular_values import singular_values


def effective_rank(masks: NDArray[np.bool_] | NDArray[np.floating]) -> NDArray[np.float64]:
    """exp of the entropy of the singular values' shares (Roy and Vetterli 2007, definition 1); (...).

    Between 1 and the rank; for a zero matrix, which has no shares, 0.
    """
    values = singular_values(masks)
    total = values.sum(-1, keepdims=True)
    shares = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(-1)
    return np.where(total[..., 0] > 0, np.exp(entropy), 0.0)
