"""The contract of a detector: observations one by one in, settled or not out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Observation:
    """One step of one kind, as a detector sees it.

    Attributes:
        step: 0-based step of the run.
        scores: (layers, units) float; padding beyond a block's units is 0.
        mask: (layers, units) bool, True = kept.
        value: the criterion's value of the mask, here its nuclear norm.
        evidence: False where the threshold falls among many equal scores; no detector draws at such a step.
    """

    step: int
    scores: NDArray[np.floating]
    mask: NDArray[np.bool_]
    value: float
    evidence: bool


class Detector(ABC):
    """Decides from the observations of one kind whether its masks have settled.

    `update` takes the observations in order, without gaps. `settled` and `statistic` speak of the newest
    check; between checks they keep what the last one said, `checked` tells whether the newest observation was
    one. `first_check` is the number of steps observed when the first check happens.
    """

    first_check: int

    def __init__(self) -> None:
        self.settled = False
        self.checked = False
        self.statistic: float | None = None

    @abstractmethod
    def update(self, observation: Observation) -> None:
        """Take the next observation."""
