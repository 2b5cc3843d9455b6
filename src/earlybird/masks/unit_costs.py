"""What each unit costs, and what is left of the blocks' cost under masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earlybird.vocabulary import KINDS, Kind, Measure


@dataclass(frozen=True)
class WidthCurve:
    """What a block costs by the number of its units, where that is no multiple of a unit's: measured, then linear.

    Attributes:
        counts: of units, ascending.
        costs: of the block at these.
    """

    counts: tuple[int, ...]
    costs: tuple[float, ...]

    def at(self, counts: NDArray[np.integer]) -> NDArray[np.float64]:
        """The cost at counts (...), between two measured ones on the line through them; (...)."""
        return np.asarray(np.interp(counts, self.counts, self.costs))


@dataclass(frozen=True)
class UnitCosts:
    """The cost of some blocks as the sum over what they are made of: FLOPs of one example, parameters, or milliseconds.

    Attributes:
        measure: what was counted.
        tokens: of the example that it was counted for.
        units: per kind, the cost of one unit of each block, (blocks,); of milliseconds on average.
        groups: of a key/value group of each attention block, (blocks,), shared by its heads; 0 where none is shared.
        fixed: of what stays whatever is pruned.
        whole: of the blocks as they are; of milliseconds all that the forward pass takes.
        curves: per kind, the cost of each block by its number of units, of milliseconds alone.
        examples: of the forward pass that milliseconds were measured of.
    """

    measure: Measure
    tokens: int
    units: Mapping[Kind, tuple[float, ...]]
    groups: tuple[float, ...]
    fixed: float
    whole: float
    curves: Mapping[Kind, tuple[WidthCurve, ...]] | None = None
    examples: int | None = None

    @classmethod
    def from_plain(cls, told: Mapping[str, Any]) -> UnitCosts:
        """The costs that `dataclasses.asdict` told.

        Raises:
            KeyError, TypeError, AttributeError: something else was told.
        """
        kinds: list[Kind] = [kind for kind in KINDS if kind in told["units"]]
        curves = told.get("curves")
        return cls(
            told["measure"],
            told["tokens"],
            {kind: tuple(told["units"][kind]) for kind in kinds},
            tuple(told["groups"]),
            told["fixed"],
            told["whole"],
            None
            if curves is None
            else {
                kind: tuple(WidthCurve(tuple(curve["counts"]), tuple(curve["costs"])) for curve in curves[kind])
                for kind in kinds
            },
            told.get("examples"),
        )

    @property
    def counted(self) -> str:
        """What was counted, for people."""
        return f"flops of {self.tokens} tokens" if self.measure == "flops" else self.measure

    def counted_as(self, measure: Measure, tokens: int) -> bool:
        """Whether these are the costs in a measure, for an example of so many tokens."""
        return measure == self.measure and (measure == "parameters" or tokens == self.tokens)

    def of(
        self, masks: Mapping[Kind, NDArray[np.bool_]], shared: Sequence[tuple[int, int]] | None = None
    ) -> NDArray[np.float64]:
        """The cost of the blocks under masks (..., blocks, units) per kind, (...).

        Args:
            masks: of every kind that has costs; padding is False.
            shared: heads and key/value groups of each attention block, where heads share keys and values.
        """
        total = np.asarray(self.fixed)
        if self.curves is not None:
            for kind, curves in self.curves.items():
                counts = masks[kind].sum(-1)
                for block, curve in enumerate(curves):
                    total = total + curve.at(counts[..., block])
            return np.asarray(total, dtype=np.float64)
        for kind, costs in self.units.items():
            total = total + masks[kind].sum(-1) @ np.asarray(costs)
        for block, ((heads, groups), cost) in enumerate(zip(shared or (), self.groups if shared else (), strict=True)):
            own = masks["heads"][..., block, :heads]
            total = total + cost * own.reshape(*own.shape[:-1], groups, heads // groups).any(-1).sum(-1)
        return np.asarray(total, dtype=np.float64)
