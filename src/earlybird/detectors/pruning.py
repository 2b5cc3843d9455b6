"""What is to be pruned of one kind of unit: scores -> masks, and what a mask is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earlybird.criteria import captured
from earlybird.groups import Groups, shared_heads
from earlybird.masks import Scope, Split, mask_at_ratio, masks_and_ties, rescued_blocks


@dataclass(frozen=True)
class Pruning:
    """The ratio, where its threshold is taken, the units of each block, and which of them go together."""

    ratio: float
    scope: Scope
    units: tuple[int, ...]
    uniform: bool = False
    key_value_groups: tuple[int, ...] | None = None
    groups: Groups | None = None
    round_to: int = 1
    admitted: tuple[int, ...] | None = None

    def valid(self, width: int) -> NDArray[np.bool_]:
        """Where rows of `width` hold a unit and no padding, (layers, width)."""
        return np.arange(width) < np.asarray(self.units)[:, None]

    def masks(self, scores: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Masks of scores (..., layers, units)."""
        return mask_at_ratio(
            scores,
            self.ratio,
            self.scope,
            units=self.units,
            uniform=self.uniform,
            key_value_groups=self.key_value_groups,
            groups=self.groups,
            round_to=self.round_to,
            admitted=self.admitted,
        )

    def masks_and_ties(
        self, scores: NDArray[np.floating], global_split: Split
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Masks of finite scores (..., layers, units), and where the threshold falls among many equals, (...)."""
        return masks_and_ties(
            scores,
            self.ratio,
            self.scope,
            units=self.units,
            uniform=self.uniform,
            key_value_groups=self.key_value_groups,
            groups=self.groups,
            round_to=self.round_to,
            admitted=self.admitted,
            global_split=global_split,
        )

    def rescued(self, scores: NDArray[np.floating]) -> tuple[int, ...]:
        """Blocks of (layers, units) that keep a unit only because none may lose its last one."""
        scope: Scope = "layer" if self.uniform else self.scope
        shared = shared_heads(self.units, self.key_value_groups, self.groups)
        blocks = rescued_blocks(
            scores if shared is None else shared.gathered(scores),
            self.ratio,
            scope,
            units=self.units if shared is None else shared.slots,
        )
        return tuple(np.flatnonzero(blocks).tolist())

    def captured(self, masks: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """How much of the best choice's gain over chance masks (..., layers, units) have, by scores (layers, units)."""
        return captured(
            masks,
            scores,
            self.ratio,
            self.scope,
            units=self.units,
            uniform=self.uniform,
            key_value_groups=self.key_value_groups,
            groups=self.groups,
            round_to=self.round_to,
            admitted=self.admitted,
        )
