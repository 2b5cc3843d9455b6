"""The two states of one unit's scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earlybird.report.one_unit import OneUnit, unit_series
from earlybird.report.series import sampled_steps
from earlybird.stationarity.two_states import TwoStates
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import Score

# A fit takes about half a second.
_POINTS = 200


@dataclass(frozen=True)
class UnitStates:
    """One unit's scores at some steps, and the model of their increments.

    Attributes:
        unit: whose.
        steps: 0-based and evenly spaced, (n,).
        values: the scores, (n,).
        states: what the increments come from.
    """

    unit: OneUnit
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    states: TwoStates

    @property
    def quiet(self) -> NDArray[np.float64]:
        """The probability of the quieter state at each increment, that is, at `steps[1:]`, (n - 1,)."""
        return self.states.probabilities[:, self.states.quieter]

    @property
    def quiet_runs(self) -> list[slice]:
        """The stretches of `steps` over which the quieter state is the more probable one."""
        padded = np.concatenate([[False], self.quiet > 0.5, [False]])
        (edges,) = np.nonzero(padded[1:] != padded[:-1])
        return [slice(int(first), int(last) + 1) for first, last in edges.reshape(-1, 2)]

    @property
    def in_words(self) -> str:
        """How both states move, in one sentence."""
        quieter = self.states.quieter
        deviations = [self.states.standard_deviation(state) for state in (quieter, 1 - quieter)]
        share = float(self.quiet.mean())
        return (
            f"An increment deviates by {deviations[0]:.2g} in the quieter state, which is there for {share:.0%} of the"
            f" steps, and by {deviations[1]:.2g} in the other."
        )


def unit_states(trajectory: Trajectory, score: Score, unit: OneUnit) -> UnitStates | None:
    """The model of one unit; None where it cannot be fitted, of a short record for instance.

    Raises:
        InputError: the record lacks what the score needs.
    """
    steps = sampled_steps(trajectory.steps, _POINTS)
    (values,) = unit_series(trajectory, score, [unit], steps)
    states = TwoStates.fit(values)
    return None if states is None else UnitStates(unit, steps, values, states)
