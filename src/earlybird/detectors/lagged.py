"""Compare with what was seen so many steps ago, at every check."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque

from earlybird.detectors.base import Detector, Observation
from earlybird.errors import InputError

_MOST_HELD = 64


class LaggedComparison(Detector):
    """Settled when the present is close enough to what was seen `lag` steps ago.

    With n steps observed, a check happens when n is a multiple of `every`, n > lag and n >= start. Held is what
    later checks compare with, lag / every observations.

    Args:
        threshold: the least statistic that counts as settled.
        lag: steps between the two.
        every: steps between checks.
        start: no check before so many steps.

    Raises:
        InputError: more than 64 observations would have to be held.
    """

    def __init__(self, *, threshold: float, lag: int, every: int, start: int = 0) -> None:
        super().__init__()
        if min(lag, every) < 1:
            raise InputError(f"lag and every must be at least 1 step, got {lag} and {every}")
        if lag > _MOST_HELD * every:
            raise InputError(
                f"lag must be at most {_MOST_HELD} times every, got {lag} and {every}: the scores of each check in"
                " between are held"
            )
        self.threshold = threshold
        self.first_check = -(-max(lag + 1, start) // every) * every
        self._lag = lag
        self._every = every
        self._held: deque[Observation] = deque()
        self._observed = 0

    def update(self, observation: Observation) -> None:
        """Hold the observation for a later check, and compare if one is due."""
        self._observed += 1
        if (self._observed + self._lag) % self._every == 0 and self._observed + self._lag >= self.first_check:
            self._held.append(observation.kept())
        self.checked = self._observed >= self.first_check and self._observed % self._every == 0
        if not self.checked:
            return
        earlier = self._held.popleft()
        self.statistic = self.similarity(earlier, observation)
        self.settled = self.statistic >= self.threshold and earlier.evidence and observation.evidence

    @abstractmethod
    def similarity(self, earlier: Observation, now: Observation) -> float:
        """1 where nothing has changed; NaN, which never settles, where that cannot be said."""
