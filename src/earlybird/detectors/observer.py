"""Scores -> observations, for one kind of unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from earlybird.detectors.base import Observation
from earlybird.detectors.criterion import Criterion
from earlybird.detectors.scores import Scores
from earlybird.detectors.series import series_of
from earlybird.errors import InputError
from earlybird.masks import BudgetRule, Rule
from earlybird.masks.finite import all_finite
from earlybird.masks.selection import SuccessiveSplit


class Observer:
    """Turns the scores of one kind, from the first step of the run on, into what detectors look at.

    Args:
        kind: for messages.
        rule: ratio and scope.
        criteria: what the detectors read; nothing else is computed.
    """

    def __init__(self, kind: str, rule: Rule, criteria: Iterable[Criterion] = ()) -> None:
        self._kind = kind
        self._rule = rule
        self._series = {criterion: series_of(criterion, rule) for criterion in criteria}
        self._split = SuccessiveSplit()

    def observations(self, scores: Scores) -> Iterator[Observation]:
        """Observations of the next steps.

        Raises:
            InputError: a score is not finite; the message names the kind, the step and the place.
        """
        ranking = scores.ranking
        unusable = np.empty((0, 3), dtype=np.int64) if all_finite(ranking) else np.argwhere(~np.isfinite(ranking))
        # What comes before is still observed: online, a draw there would have come first.
        usable = scores.part(slice(unusable[0][0])) if len(unusable) else scores
        # Heads that share keys and values are ranked by means, which need the digits.
        order = usable.ranking if not self._rule.grouped else usable.values
        masks, tied = self._rule.masks_and_ties(order, self._split)
        values = {criterion: series.update(usable, masks).tolist() for criterion, series in self._series.items()}
        first = usable.first
        for i, (mask, accident) in enumerate(zip(masks, tied.tolist(), strict=True)):
            here = {criterion: series[i] for criterion, series in values.items()}
            yield Observation(first + i, usable.part(slice(i, i + 1)), mask, here, not accident)
        if len(unusable):
            step, row, unit = unusable[0]
            kind, layer = self._rule.place(row) if isinstance(self._rule, BudgetRule) else (self._kind, row)
            raise InputError(
                f"scores must be finite, got {ranking[step, row, unit]} for {kind} at step"
                f" {first + step}, layer {layer}, unit {unit}"
            )
