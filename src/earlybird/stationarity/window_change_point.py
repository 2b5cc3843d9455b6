"""A window slid over the series: where its halves differ most, the level changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.stationarity.change_point import ChangePointSearch


class SlidingWindow(ChangePointSearch):
    """Change points by the sliding window of Truong et al. (2020, Signal Processing 167), package ruptures.

    The sliding window spans a fifth of the values, at least four of them; changes nearer to an end than half of
    that are not seen.
    """

    detector = "window-change-point"

    def segments(self, series: NDArray[np.float64], penalty: float) -> list[int]:
        """Peaks of the gain of splitting the sliding window, as long as they pay the penalty."""
        import ruptures

        width = max(4, len(series) // 10 * 2)
        search = ruptures.Window(width=width, model="l2", min_size=2, jump=1).fit(series)
        return [int(end) for end in search.predict(pen=penalty)]
