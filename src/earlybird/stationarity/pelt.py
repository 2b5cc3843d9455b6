"""PELT: the exact best segmentation into levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.change_point import ChangePointSearch


class PrunedExactLinearTime(ChangePointSearch):
    """Change points by PELT (Killick, Fearnhead and Eckley 2012, JASA 107) by the package ruptures."""

    cost = "O(n) to O(n^2)"
    detector = "pelt"

    def segments(self, series: NDArray[np.float64], penalty: float) -> list[int]:
        """With the linear kernel, ruptures' compiled PELT minimises the sum of squares about the levels."""
        import ruptures

        search = ruptures.KernelCPD(kernel="linear", min_size=2).fit(series[:, None])
        return [int(end) for end in search.predict(pen=penalty)]
