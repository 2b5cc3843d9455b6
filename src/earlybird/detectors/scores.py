"""Evidence -> scores: what ranks the units, from what the trajectory recorded."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from earlybird.errors import InputError
from earlybird.trajectory import Channel

Score = Literal["coefficient", "gradient", "squared-gradient"]
SCORES: tuple[Score, ...] = get_args(Score)


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


class RunningScore:
    """Turns successive steps' evidence of one channel into scores, both (steps, layers, units).

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

    def update(self, evidence: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scores of the next steps."""
        # One array, changed in place: fresh memory for every intermediate result costs more than the arithmetic.
        values = np.array(evidence, dtype=np.float64)
        if self.channel == "coefficient":
            return np.abs(values, out=values)
        if self.channel == "deviation":
            # In float64, 1 + d keeps every digit of a float32 deviation d that matters.
            values += 1.0
            return np.abs(values, out=values)
        if self._squares:
            values *= values
        if self._sum is None:
            self._sum = np.zeros(values.shape[1:])
        for step in values:
            self._sum += step
            self._steps += 1
            np.divide(self._sum, self._steps, out=step)
        return values
