"""The verdict: at which step the masks were taken, and on what evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    """

    step: int
    fraction: float
    statistic: float | None
    detector: str
    kinds: Mapping[Kind, KindDraw]
    masks: Mapping[Kind, NDArray[np.bool_]]
    rescued: Mapping[Kind, tuple[int, ...]]
