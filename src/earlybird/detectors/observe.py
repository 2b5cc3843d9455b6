"""Scores -> observations, for one kind of unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from earlybird.detectors.base import Observation
from earlybird.detectors.criterion import Criterion
from earlybird.detectors.pruning import Pruning
from earlybird.detectors.series import series_of
from earlybird.errors import InputError
from earlybird.selection import SuccessiveBoundary


class Observer:
    """Turns the scores of one kind, from the first step of the run on, into what detectors look at.

    Args:
        kind: for messages.
        pruning: ratio and scope.
        criteria: what the detectors read; nothing else is computed.
    """

    def __init__(self, kind: str, pruning: Pruning, criteria: Iterable[Criterion] = ()) -> None:
        self._kind = kind
        self._pruning = pruning
        self._series = {criterion: series_of(criterion, pruning) for criterion in criteria}
        self._boundary = SuccessiveBoundary()
        self._steps = 0

    def observations(self, scores: NDArray[np.floating]) -> Iterator[Observation]:
        """Observations of the next steps' scores, (steps, layers, units).

        Raises:
            InputError: a score is not finite; the message names the kind, the step and the place.
        """
        finite = np.isfinite(scores)
        unusable = np.empty((0, 3), dtype=np.int64) if finite.all() else np.argwhere(~finite)
        # What comes before is still observed: online, a draw there would have come first.
        usable = scores[: unusable[0][0]] if len(unusable) else scores
        masks, tied = self._pruning.masks_and_ties(usable, self._boundary)
        values = {criterion: series.update(usable, masks) for criterion, series in self._series.items()}
        first = self._steps
        self._steps += len(usable)
        for i in range(len(usable)):
            here = {criterion: float(series[i]) for criterion, series in values.items()}
            yield Observation(first + i, scores[i], masks[i], here, not bool(tied[i]))
        if len(unusable):
            step, layer, unit = unusable[0]
            raise InputError(
                f"scores must be finite, got {scores[step, layer, unit]} for {self._kind} at step"
                f" {first + step}, layer {layer}, unit {unit}"
            )
