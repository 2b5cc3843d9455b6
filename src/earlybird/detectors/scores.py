"""Evidence -> scores: what ranks the units, from what the trajectory recorded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.errors import InputError
from earlybird.vocabulary import SCORES, Channel, Score


def channels_of(score: Score) -> tuple[Channel, ...]:
    """The channels that hold a score's evidence, the preferred one first.

    Raises:
        InputError: there is no such score.
    """
    if score not in SCORES:
        raise InputError(f"score must be one of {', '.join(SCORES)}, got {score!r}")
    by_score: dict[Score, tuple[Channel, ...]] = {
        "coefficient": ("deviation", "coefficient"),
        "gradient": ("gradient",),
        "squared-gradient": ("squared-gradient", "gradient"),
    }
    return by_score[score]


class Scores:
    """Scores of some steps, (steps, layers, units), in float64 only where they are read.

    Most steps are looked at for their masks alone, which the order of the units decides.

    Args:
        ranking: orders the units of a step as their scores do, also those whose scores float64 would round to one; it
            is not changed afterwards.
        offset: what the ranking lacks to be the scores.
        first: 0-based step of the run that the first of them is of.
    """

    def __init__(self, ranking: NDArray[np.floating], offset: float = 0.0, first: int = 0) -> None:
        self.ranking = ranking
        self.first = first
        self._offset = offset

    def __len__(self) -> int:
        return len(self.ranking)

    @property
    def values(self) -> NDArray[np.float64]:
        """Of all steps."""
        return np.asarray(np.add(self.ranking, self._offset, dtype=np.float64))

    def at(self, step: int) -> NDArray[np.float64]:
        """Of one of the steps, (layers, units)."""
        return np.asarray(np.add(self.ranking[step], self._offset, dtype=np.float64))

    def copy(self) -> Scores:
        """The same with a ranking of its own, in as few bytes."""
        return Scores(self.ranking.copy(), self._offset, self.first)

    def part(self, steps: slice) -> Scores:
        """Those of some of the steps."""
        return Scores(self.ranking[steps], self._offset, self.first + steps.indices(len(self))[0])


class RunningScore:
    """Turns successive steps' evidence of one channel, (steps, layers, units), into scores.

    The gradient is that of the task's loss on a step's whole batch, with respect to the unit's coefficient.

    - coefficient: the coefficient's magnitude (Liu et al. 2017, arXiv 1708.06519).
    - gradient: mean |gradient of the coefficient| so far (Michel et al. 2019, arXiv 1905.10650).
    - squared-gradient: mean squared gradient so far (Kwon et al. 2022, arXiv 2204.09656).
    """

    def __init__(self, score: Score, channel: Channel) -> None:
        self.channel = channel
        self._squares = score == "squared-gradient" and channel == "gradient"
        self._sum: NDArray[np.float64] | None = None
        self._steps = 0

    def update(self, evidence: NDArray[np.floating]) -> Scores:
        """Scores of the next steps; they may read the evidence where it lies, which is not to be changed afterwards."""
        first = self._steps
        self._steps += len(evidence)
        if self.channel == "deviation":
            # |1 + d| - 1, whose digits are the deviation's own; those of 1 + d in float32 would be fewer.
            negative = evidence.size > 0 and not evidence.min() >= -1  # also where it is NaN
            ranking = np.where(evidence < -1, -2 - evidence, evidence) if negative else np.asarray(evidence)
            return Scores(ranking, 1.0, first)
        # One array, changed in place: fresh memory for every intermediate result costs more than the arithmetic.
        values = np.array(evidence, dtype=np.float64)
        if self.channel == "coefficient":
            return Scores(np.abs(values, out=values), first=first)
        if self._squares:
            values *= values
        if self._sum is None:
            self._sum = np.zeros(values.shape[1:])
        for number, step in enumerate(values, start=first + 1):
            self._sum += step
            np.divide(self._sum, number, out=step)
        return Scores(values, first=first)
