"""The verdict: at which step the masks were taken, how that came about, and on what evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earlybird.config import SearchConfig, plain_values
from earlybird.vocabulary import How, Kind


@dataclass(frozen=True)
class KindDraw:
    """When one kind settled: its 0-based step, the statistic there and what it was compared with."""

    step: int
    statistic: float | None
    threshold: float | None


@dataclass(frozen=True)
class Draw:
    """The draw of a ticket.

    Attributes:
        step: 0-based step whose masks are taken, the newest observation of the last kind to settle.
        fraction: (step + 1) / planned steps of the run.
        statistic: the statistic with which the last kind settled; None for a constant window or a forced draw.
        how: the "detector" found the masks settled; it did not until the "end"; or a "step" was named.
        detector: the name of what decided, or did not until the end; None where no detector was asked.
        kinds: when each kind settled.
        masks: (layers, units) bool per kind, True = kept.
        units: of all blocks together, per kind.
        kept_by_minimum: blocks per kind that keep a unit only because a block never loses its last one.
        config: all settings of the search.
        total_steps: planned steps of the run.
    """

    step: int
    fraction: float
    statistic: float | None
    how: How
    detector: str | None
    kinds: Mapping[Kind, KindDraw]
    masks: Mapping[Kind, NDArray[np.bool_]]
    units: Mapping[Kind, int]
    kept_by_minimum: Mapping[Kind, tuple[int, ...]]
    config: SearchConfig
    total_steps: int

    def description(self) -> dict[str, Any]:
        """All but the masks, as plain values for a file."""
        config = plain_values(self.config)
        values: dict[str, Any] = {
            "step": self.step,
            "fraction": self.fraction,
            "statistic": self.statistic,
            "how": self.how,
            "detector": self.detector,
            "score": self.config.score,
            "total_steps": self.total_steps,
            "kinds": {kind: asdict(kind_draw) for kind, kind_draw in self.kinds.items()},
            "kept_by_minimum": {kind: list(blocks) for kind, blocks in self.kept_by_minimum.items()},
        }
        for kind, mask in self.masks.items():
            if self.config.budget is None:
                values |= {f"{kind}_ratio": config[kind], f"{kind}_scope": self.config.scope(kind)}
            else:
                values[f"{kind}_ratio"] = 1 - int(mask.sum()) / self.units[kind]
        return {**values, "config": config}
