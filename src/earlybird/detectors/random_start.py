"""Random start: units are chosen randomly, as soon as training has begun."""

from __future__ import annotations

import numpy as np

from earlybird.detectors.base import Detector, Observation
from earlybird.masks import Rule

_SEED = 0


class RandomStart(Detector):
    """Settled at the first step; the ticket is a random one, the same for every model of one shape.

    Before a model is trained from scratch, its units differ by random initial weights alone, so that any choice of them
    is as random as any other. Measured there, no detector's ticket does better than a random one of its size: the
    smaller network is what helps, and it may be had at once. In a pretrained model units differ, and other detectors
    find out how. There is no statistic.

    Args:
        rule: the kind's.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule

    def check(self, observation: Observation) -> tuple[None, bool]:
        """Nothing to wait for."""
        return None, True

    def chosen(self, observation: Observation) -> Observation:
        """By random scores instead of the observation's."""
        scores = np.random.default_rng(_SEED).random(observation.mask.shape)
        mask = self.rule.random_masks(np.random.default_rng(_SEED))
        return Observation(observation.step, scores, mask, observation.values, observation.evidence)
