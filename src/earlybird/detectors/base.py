"""The contract of a detector: observations one by one in, settled or not out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from earlybird.detectors.criterion import Criterion
from earlybird.detectors.scores import Scores


class Observation:
    """One step of one kind, as a detector sees it.

    Args:
        step: 0-based step of the run.
        scores: (layers, units) float, or `Scores` of this step alone; padding beyond a block's units means nothing.
        mask: (layers, units) bool, True = kept.
        values: the criteria that detectors read; NaN where a criterion has nothing to compare with yet.
        evidence: False where the threshold falls among many equal scores; no detector draws at such a step.
    """

    def __init__(
        self,
        step: int,
        scores: NDArray[np.floating] | Scores,
        mask: NDArray[np.bool_],
        values: Mapping[Criterion, float],
        evidence: bool,
    ) -> None:
        self.step = step
        self._scores = scores
        self.mask = mask
        self.values = values
        self.evidence = evidence

    @property
    def scores(self) -> NDArray[np.floating]:
        """The scores, (layers, units)."""
        return self._scores.at(0) if isinstance(self._scores, Scores) else self._scores

    def kept(self) -> Observation:
        """The same with arrays of its own, to be held: those of an observation may be views of a whole chunk's."""
        return Observation(self.step, self._scores.copy(), self.mask.copy(), self.values, self.evidence)


class Detector(ABC):
    """Decides from the observations of one kind whether its masks have settled.

    `update` takes the observations in order, without gaps. `settled` and `statistic` speak of the newest
    check; between checks they keep what the last one said, `checked` tells whether the newest observation was
    one.

    Attributes:
        first_check: steps observed when the first check happens.
        criteria: what the detector reads of an observation's values.
    """

    first_check: int
    criteria: tuple[Criterion, ...] = ()

    def __init__(self) -> None:
        self.settled = False
        self.checked = False
        self.statistic: float | None = None

    @abstractmethod
    def update(self, observation: Observation) -> None:
        """Take the next observation."""
