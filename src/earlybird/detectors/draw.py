"""The verdict: at which step the masks were taken, and on what evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earlybird.detectors.scores import Score
from earlybird.masks import Scope
from earlybird.trajectory import Kind


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
        detector: the detector's name, or how the draw was forced ("step", "end", "random").
        kinds: when each kind settled.
        masks: (layers, units) bool per kind, True = kept.
        rescued: blocks per kind that keep a unit only because a block never loses its last one.
        ratios: pruned fraction per kind.
        scopes: where each kind's threshold was taken.
        score: what ranked the units.
        total_steps: planned steps of the run.
    """

    step: int
    fraction: float
    statistic: float | None
    detector: str
    kinds: Mapping[Kind, KindDraw]
    masks: Mapping[Kind, NDArray[np.bool_]]
    rescued: Mapping[Kind, tuple[int, ...]]
    ratios: Mapping[Kind, float]
    scopes: Mapping[Kind, Scope]
    score: Score
    total_steps: int

    def description(self) -> dict[str, Any]:
        """All but the masks, as plain values for a file."""
        values: dict[str, Any] = {
            "step": self.step,
            "fraction": self.fraction,
            "statistic": self.statistic,
            "detector": self.detector,
            "score": self.score,
            "total_steps": self.total_steps,
            "kinds": {kind: asdict(kind_draw) for kind, kind_draw in self.kinds.items()},
            "rescued": {kind: list(blocks) for kind, blocks in self.rescued.items()},
        }
        for kind in self.masks:
            values |= {f"{kind}_ratio": self.ratios[kind], f"{kind}_scope": self.scopes[kind]}
        return values
