"""Learning rate over the steps: linear warm-up, then cosine, linear or constant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """The rate at a step as a multiple of the highest one.

    Attributes:
        kind: how the rate falls after the warm-up.
        total: steps of the whole schedule.
        warmup: steps of the rise from 0.
        floor: the rate at the end as a multiple of the highest.
        offset: steps of the schedule that lie behind when training starts (a continued run).
    """

    kind: Literal["cosine", "linear", "constant"]
    total: int
    warmup: int = 0
    floor: float = 0.0
    offset: int = 0

    def __call__(self, step: int) -> float:
        """The factor at a 0-based step of this training."""
        position = step + self.offset
        if position < self.warmup:
            return (position + 1) / (self.warmup + 1)
        if self.kind == "constant":
            return 1.0
        progress = min(1.0, (position - self.warmup) / max(1, self.total - self.warmup))
        fall = (1 + math.cos(math.pi * progress)) / 2 if self.kind == "cosine" else 1 - progress
        return self.floor + (1 - self.floor) * fall
