"""Scores -> observations, for one kind of unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earlybird.criteria import captured, nuclear_norm
from earlybird.detectors.base import Observation
from earlybird.errors import InputError
from earlybird.masks import Scope, mask_at_ratio, rescued_blocks, threshold_is_tied


@dataclass(frozen=True)
class Pruning:
    """What is to be pruned of one kind: the ratio and where its threshold is taken."""

    ratio: float
    scope: Scope
    units: tuple[int, ...]
    uniform: bool = False
    round_to: int = 1
    admitted: tuple[int, ...] | None = None

    def masks(self, scores: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Masks of scores (..., layers, units)."""
        return mask_at_ratio(
            scores,
            self.ratio,
            self.scope,
            units=self.units,
            uniform=self.uniform,
            round_to=self.round_to,
            admitted=self.admitted,
        )

    def rescued(self, scores: NDArray[np.floating]) -> tuple[int, ...]:
        """Blocks of (layers, units) that keep a unit only because none may lose its last one."""
        scope: Scope = "layer" if self.uniform else self.scope
        return tuple(np.flatnonzero(rescued_blocks(scores, self.ratio, scope, units=self.units)).tolist())

    def captured(self, mask: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
        """How much of the best choice's gain over chance a mask captures, judged by scores (layers, units)."""
        return float(
            captured(
                mask,
                scores,
                self.ratio,
                self.scope,
                units=self.units,
                uniform=self.uniform,
                round_to=self.round_to,
                admitted=self.admitted,
            )
        )

    def observations(self, kind: str, first_step: int, scores: NDArray[np.floating]) -> Iterator[Observation]:
        """Observations of successive steps' scores (steps, layers, units), the first at `first_step`.

        Raises:
            InputError: a score is not finite; the message names the kind, the step and the place.
        """
        unusable = np.argwhere(~np.isfinite(scores))
        # What comes before is still observed: online, a draw there would have come first.
        usable = scores[: unusable[0][0]] if len(unusable) else scores
        masks = self.masks(usable)
        norms = nuclear_norm(masks)
        tied = threshold_is_tied(
            usable,
            self.ratio,
            self.scope,
            units=self.units,
            uniform=self.uniform,
            round_to=self.round_to,
            admitted=self.admitted,
        )
        for i in range(len(usable)):
            yield Observation(first_step + i, scores[i], masks[i], float(norms[i]), not bool(tied[i]))
        if len(unusable):
            step, layer, unit = unusable[0]
            raise InputError(
                f"scores must be finite, got {scores[step, layer, unit]} for {kind} at step"
                f" {first_step + step}, layer {layer}, unit {unit}"
            )
