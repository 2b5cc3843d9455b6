"""The contract of a detector: observations one by one in, settled or not out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from numbers import Integral
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from earlybird.detectors.criterion import Criterion
from earlybird.detectors.scores import Scores
from earlybird.errors import InputError


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
    def observed(self) -> int:
        """Steps observed so far, this one included."""
        return self.step + 1

    @property
    def scores(self) -> NDArray[np.floating]:
        """The scores, (layers, units)."""
        return self._scores.at(0) if isinstance(self._scores, Scores) else self._scores

    def kept(self) -> Observation:
        """The same with arrays of its own, to be held: those of an observation may be views of a whole chunk's."""
        return Observation(self.step, self._scores.copy(), self.mask.copy(), self.values, self.evidence)


class Detector(ABC):
    """Decides from the observations of one kind whether its masks have settled.

    `update` takes the observations in order, from step 0 on and without gaps. `settled` and `statistic` speak of the
    newest check; between checks they keep what the last one said, `checked` tells whether the newest observation was
    one. A subclass says in `check` what decides, and keeps in `hold` what later checks need. With n steps observed, a
    check is due when n is a multiple of `every` and at least `earliest`.

    Args:
        every: steps between checks.
        earliest: steps observed before the first check at the least.
        criteria: what the detector reads of an observation's values.

    Attributes:
        first_check: steps observed when the first check happens.

    Raises:
        InputError: `every` is below 1, or no number of steps.

    >>> class Still(Detector):
    ...     def check(self, observation):
    ...         share_kept = observation.mask.mean()
    ...         return share_kept, share_kept > 0.5
    >>> detector = Still(every=2)
    >>> for step in range(2):
    ...     detector.update(Observation(step, np.zeros((1, 4)), np.ones((1, 4), dtype=bool), {}, evidence=True))
    >>> detector.settled
    True
    """

    def __init__(self, *, every: int = 1, earliest: int = 1, criteria: tuple[Criterion, ...] = ()) -> None:
        for name, steps in (("every", every), ("earliest", earliest)):
            if not isinstance(steps, Integral):
                raise InputError(f"{name} must be a whole number of steps, got {steps!r}")
        if every < 1:
            raise InputError(f"every must be at least 1 step, got {every}")
        self.every = every
        self.first_check = -(-max(earliest, 1) // every) * every
        self.criteria = criteria
        self.settled = False
        self.checked = False
        self.statistic: float | None = None

    def update(self, observation: Observation) -> None:
        """Take the next observation, and judge it if a check is due."""
        self.hold(observation)
        self.checked = self.is_due(observation)
        if self.checked:
            statistic, settled = self._checked(observation)
            # Plain numbers, for the files that tell of them.
            self.statistic = None if statistic is None else float(statistic)
            # A mask that ties decide says nothing, whatever the statistic.
            self.settled = bool(settled) and observation.evidence

    def _checked(self, observation: Observation) -> tuple[float | None, bool]:
        said: Any = self.check(observation)
        if not isinstance(said, tuple) or len(said) != 2:
            raise InputError(
                f"{type(self).__name__}.check must return a statistic, or None, and whether the masks have settled, got"
                f" {said!r}; write `return statistic, settled`"
            )
        return said

    def is_due(self, observation: Observation) -> bool:
        """Whether a check happens at this observation."""
        return observation.observed >= self.first_check and observation.observed % self.every == 0

    def hold(self, observation: Observation) -> None:  # noqa: B027 (a check may need nothing but its own observation)
        """Keep what checks need, this one and later ones."""

    def chosen(self, observation: Observation) -> Observation:
        """What a draw at this observation takes its mask from; by default the observation itself."""
        return observation

    @abstractmethod
    def check(self, observation: Observation) -> tuple[float | None, bool]:
        """The statistic, None where there is none, and whether it says that the masks have settled."""


def chosen_by(detector: Any, observation: Observation) -> Observation:
    """What a draw takes its mask from, also of an object that is no `Detector` and does not say."""
    return observation if not hasattr(detector, "chosen") else cast(Observation, detector.chosen(observation))
