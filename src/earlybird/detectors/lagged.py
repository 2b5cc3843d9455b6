"""Compare with what was seen so many steps ago, at every check."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque

from earlybird.detectors.base import Detector, Observation
from earlybird.errors import InputError

_MOST_HELD = 64


class LaggedComparison(Detector):
    """Settled when the present is close enough to what was seen `lag` steps ago.

    Held is what later checks compare with, lag / every observations.

    Args:
        threshold: the least statistic that counts as settled.
        lag: steps between the two.
        every: steps between checks.
        start: no check before so many steps, nor before lag + 1.

    Raises:
        InputError: more than 64 observations would have to be held.
    """

    def __init__(self, *, threshold: float, lag: int, every: int, start: int = 0) -> None:
        if lag < 1:
            raise InputError(f"lag must be at least 1 step, got {lag}")
        super().__init__(every=every, earliest=max(lag + 1, start))
        if lag > _MOST_HELD * every:
            raise InputError(
                f"lag must be at most {_MOST_HELD} times every, got {lag} and {every}: the scores of each check in"
                " between are held"
            )
        self.threshold = threshold
        self._lag = lag
        self._held: deque[Observation] = deque()

    def hold(self, observation: Observation) -> None:
        """Hold the observation, if a later check compares with it."""
        then = observation.observed + self._lag
        if then >= self.first_check and then % self.every == 0:
            self._held.append(observation.kept())

    def check(self, observation: Observation) -> tuple[float, bool]:
        """Compare with what was held."""
        earlier = self._held.popleft()
        similarity = self.similarity(earlier, observation)
        return similarity, similarity >= self.threshold and earlier.evidence

    @abstractmethod
    def similarity(self, earlier: Observation, now: Observation) -> float:
        """1 where nothing has changed; NaN, which never settles, where that cannot be said."""
