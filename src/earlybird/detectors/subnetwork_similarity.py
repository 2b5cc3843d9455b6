"""OCSPruner's rule: the sub-networks of successive epochs hardly differ."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from earlybird.detectors.base import Detector, Observation
from earlybird.errors import InputError


class SubnetworkSimilarity(Detector):
    """Settled when the kept units of successive checks stay alike (Ghimire et al. 2025, arXiv 2501.13439).

    The similarity of two sub-networks is the Jaccard index of their kept units, |both| / |either|, averaged over
    the blocks. As in the authors' code, the newest is compared with the oldest of `history` sub-networks, and the
    statistic is the mean of the last `history` similarities. Published with one check an epoch, a history of 3
    and a threshold of 0.999, for channels of convolutions.

    Args:
        threshold: the least mean similarity that counts as settled.
        every: steps between checks.
        start: no check before so many steps.
        history: sub-networks, and similarities, that are held.
    """

    def __init__(self, *, threshold: float, every: int, start: int = 0, history: int = 3) -> None:
        if history < 2:
            raise InputError(f"history must hold at least 2 sub-networks, got {history}")
        super().__init__(every=every, earliest=max((2 * history - 1) * every, start))
        self.threshold = threshold
        self._masks: deque[NDArray[np.bool_]] = deque(maxlen=history)
        self._similarities: deque[float] = deque(maxlen=history)

    def hold(self, observation: Observation) -> None:
        """Compare the mask with the oldest that is held."""
        if observation.observed % self.every:
            return
        self._masks.append(observation.mask.copy())
        if len(self._masks) == self._masks.maxlen:
            self._similarities.append(jaccard(self._masks[0], observation.mask))

    def check(self, observation: Observation) -> tuple[float, bool]:
        """Mean of the newest similarities."""
        similarity = float(np.mean(self._similarities))
        return similarity, similarity >= self.threshold


def jaccard(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Mean over the blocks of |kept in both| / |kept in either|; masks (layers, units), empty blocks left out."""
    either = (mask | other).sum(-1)
    there = either > 0
    return float(((mask & other).sum(-1)[there] / either[there]).mean())
