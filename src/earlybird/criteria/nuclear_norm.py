"""Nuclear norm: how much of the units the layers keep, and how unlike one another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.criteria.singular_values import singular_values


def nuclear_norm(masks: NDArray[np.bool_] | NDArray[np.floating]) -> NDArray[np.float64]:
    """Sum of singular values of each (layers, units) mask; masks (..., layers, units) -> (...).

    Scores in place of masks give the nuclear norm of the scores. Columns of zeros change nothing, so padding of
    masks needs no care; that of scores must be 0.
    """
    return np.asarray(singular_values(masks).sum(-1))
