"""Whether an array holds numbers only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def all_finite(values: NDArray[np.floating]) -> bool:
    """Whether no value is NaN or infinite; what NaN does to extremes saves an array of answers."""
    return values.size == 0 or bool(np.isfinite(values.min()) and np.isfinite(values.max()))
