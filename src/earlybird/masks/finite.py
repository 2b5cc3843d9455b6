"""Whether an array holds numbers only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def all_finite(values: NDArray[np.floating]) -> bool:
    """Whether no value is NaN or infinite, by what one that is does to a sum of squares, or to extremes."""
    if values.flags.c_contiguous and np.isfinite(np.vdot(values, values)):
        return True
    # Squares of finite values may be infinite.
    return values.size == 0 or bool(np.isfinite(values.min()) and np.isfinite(values.max()))
