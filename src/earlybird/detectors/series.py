"""A criterion's values over successive steps, with what it must remember between them."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from earlybird.criteria import captured_by, effective_rank, hamming_distance, nuclear_norm, overlap
from earlybird.detectors.criterion import Criterion
from earlybird.detectors.scores import Scores
from earlybird.masks import Rule


class CriterionSeries(ABC):
    """Takes successive steps, some at a time; the values do not depend on how many."""

    @abstractmethod
    def update(self, scores: Scores, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Values of the next steps, (steps,), from their scores and their masks (steps, layers, units)."""


class OfEachMask(CriterionSeries):
    """Criteria of one step's mask alone; computed where the mask has changed."""

    def __init__(self, criterion: Criterion) -> None:
        self._criterion = effective_rank if criterion.name == "effective-rank" else nuclear_norm
        self._last: tuple[NDArray[np.bool_], float] | None = None

    def update(self, scores: Scores, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Nuclear norm or effective rank of each step."""
        if self._last is not None and (masks == self._last[0]).all():
            return np.full(len(masks), self._last[1])
        values = self._criterion(masks)
        if len(masks):
            self._last = (masks[-1].copy(), float(values[-1]))
        return values


class OfScores(CriterionSeries):
    """Nuclear norm of one step's scores."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule

    def update(self, scores: Scores, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Nuclear norm of each step."""
        # A block's padding may hold the score of a coefficient of 1.
        return nuclear_norm(np.where(self._rule.valid(masks.shape[-1]), scores.values, 0.0))


class AgainstEarlier(CriterionSeries):
    """Criteria of a mask and the one `lag` steps before; holds `lag` masks, a bit per unit."""

    def __init__(self, criterion: Criterion, rule: Rule) -> None:
        self._name = criterion.name
        self._lag = criterion.lag
        self._rule = rule
        self._ring: NDArray[np.uint8] | None = None
        self._steps = 0

    def update(self, scores: Scores, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """NaN for the first `lag` steps of the run."""
        pieces = [
            self._piece(scores.part(steps), masks[steps])
            for steps in (slice(start, start + self._lag) for start in range(0, len(masks), self._lag))
        ]
        return np.concatenate(pieces) if pieces else np.empty(0)

    def _piece(self, scores: Scores, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """At most `lag` steps: none of them is compared with another."""
        packed = np.packbits(masks.reshape(len(masks), -1), axis=-1)
        if self._ring is None:
            self._ring = np.zeros((self._lag, packed.shape[1]), dtype=np.uint8)
        places = (self._steps + np.arange(len(masks))) % self._lag
        units = masks.shape[-2] * masks.shape[-1]
        earlier = np.unpackbits(self._ring[places], axis=-1, count=units).view(np.bool_).reshape(masks.shape)
        self._ring[places] = packed
        first = min(max(0, self._lag - self._steps), len(masks))
        self._steps += len(masks)
        values = np.full(len(masks), np.nan)
        if first < len(masks):
            values[first:] = self._compared(scores.part(slice(first, None)), masks[first:], earlier[first:])
        return values

    def _compared(self, scores: Scores, masks: NDArray[np.bool_], earlier: NDArray[np.bool_]) -> NDArray[np.float64]:
        if self._name == "hamming":
            return hamming_distance(masks, earlier, units=self._rule.units)
        if self._name == "overlap":
            return overlap(masks, earlier)
        return np.array([captured_by(self._rule, mask, now) for mask, now in zip(earlier, scores.values, strict=True)])


class AgainstAverage(CriterionSeries):
    """Mean overlap with all earlier masks, geometrically weighted; holds their exponential moving average."""

    def __init__(self, criterion: Criterion) -> None:
        self._weight = 1 / criterion.lag
        self._average: NDArray[np.float64] | None = None

    def update(self, scores: Scores, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """NaN at the first step of the run."""
        values = np.full(len(masks), np.nan)
        for step, mask in enumerate(masks):
            if self._average is None:
                self._average = mask.astype(np.float64)
                continue
            values[step] = self._average[mask].sum() / mask.sum()
            self._average += self._weight * (mask - self._average)
        return values


def series_of(criterion: Criterion, rule: Rule) -> CriterionSeries:
    """What computes a criterion from the first step of a run on."""
    if criterion.name == "ema-overlap":
        return AgainstAverage(criterion)
    if criterion.name == "score-nuclear-norm":
        return OfScores(rule)
    return AgainstEarlier(criterion, rule) if criterion.missing else OfEachMask(criterion)
