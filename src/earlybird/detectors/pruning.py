"""What is to be pruned of one kind of unit: scores -> masks, and what a mask is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earlybird.criteria import captured
from earlybird.groups import Groups, SharedHeads, shared_heads
from earlybird.masks import Scope, mask_at_ratio, rescued_blocks, threshold_is_tied


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

    def tied(self, scores: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Where the threshold falls among many equal scores; (..., layers, units) -> (...)."""
        shared = self._shared
        return threshold_is_tied(
            scores if shared is None else shared.gathered(scores),
            self.ratio,
            self.scope,
            units=self.units if shared is None else shared.slots,
            uniform=self.uniform,
            round_to=self.round_to,
            admitted=self.admitted if shared is None else shared.admitted_slots(self.admitted),
        )

    def rescued(self, scores: NDArray[np.floating]) -> tuple[int, ...]:
        """Blocks of (layers, units) that keep a unit only because none may lose its last one."""
        scope: Scope = "layer" if self.uniform else self.scope
        shared = self._shared
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

    @property
    def _shared(self) -> SharedHeads | None:
        """What is ranked and pruned together, where heads share keys and values."""
        return shared_heads(self.units, self.key_value_groups, self.groups)
