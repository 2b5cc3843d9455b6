"""What is to be pruned of one kind of unit: scores -> masks, and what a mask is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earlybird.criteria import captured
from earlybird.masks import Scope, mask_at_ratio, rescued_blocks, threshold_is_tied


@dataclass(frozen=True)
class Pruning:
    """The ratio, where its threshold is taken, and the units of each block."""

    ratio: float
    scope: Scope
    units: tuple[int, ...]
    uniform: bool = False

    def valid(self, width: int) -> NDArray[np.bool_]:
        """Where rows of `width` hold a unit and no padding, (layers, width)."""
        return np.arange(width) < np.asarray(self.units)[:, None]

    def masks(self, scores: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Masks of scores (..., layers, units)."""
        return mask_at_ratio(scores, self.ratio, self.scope, units=self.units, uniform=self.uniform)

    def tied(self, scores: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Where the threshold falls among many equal scores; (..., layers, units) -> (...)."""
        return threshold_is_tied(scores, self.ratio, self.scope, units=self.units, uniform=self.uniform)

    def rescued(self, scores: NDArray[np.floating]) -> tuple[int, ...]:
        """Blocks of (layers, units) that keep a unit only because none may lose its last one."""
        scope: Scope = "layer" if self.uniform else self.scope
        return tuple(np.flatnonzero(rescued_blocks(scores, self.ratio, scope, units=self.units)).tolist())

    def captured(self, mask: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
        """How much of the best choice's gain over chance a mask captures, judged by scores (layers, units)."""
        return float(captured(mask, scores, self.ratio, self.scope, units=self.units, uniform=self.uniform))
