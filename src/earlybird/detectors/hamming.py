"""Early-Bird's rule: the newest masks hardly differ from one another."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from earlybird.criteria import hamming_distance
from earlybird.detectors.base import Detector, Observation
from earlybird.errors import InputError


class HammingDistance(Detector):
    """Settled when each mask in a first-in-first-out queue is close to the newest (You et al. 2020).

    The statistic is the largest Hamming distance (fraction of units that differ) of the newest mask to the
    others in the queue; settled when the queue is full and it is at most the threshold. Published for batch
    norm channels once an epoch (arXiv 1909.11957, section 3.3); checked at every step it fires within a few
    steps on Transformers, long before the masks mean anything.

    Args:
        queue: masks held, the newest among them.
        threshold: the largest distance that counts as settled.
        every: steps between the masks.
        units: units of each block, (layers,), to count the fraction over.
    """

    def __init__(
        self, *, queue: int = 5, threshold: float = 0.1, every: int = 1, units: tuple[int, ...] | None = None
    ) -> None:
        if queue < 2:
            raise InputError(f"queue must hold at least 2 masks, got {queue}")
        super().__init__(every=every, earliest=queue * every)
        self.threshold = threshold
        self._masks: deque[NDArray[np.bool_]] = deque(maxlen=queue)
        self._units = units

    def hold(self, observation: Observation) -> None:
        """Queue the mask."""
        if observation.observed % self.every == 0:
            self._masks.append(observation.mask)

    def check(self, observation: Observation) -> tuple[float, bool]:
        """Compare the newest mask with the others."""
        older = np.stack(list(self._masks)[:-1])
        distance = float(hamming_distance(older, observation.mask, units=self._units).max())
        return distance, distance <= self.threshold
