"""What a search watches, as numbers by name: for logs, and for curves that grow while it runs."""

from __future__ import annotations

import math

from numpy import bool_
from numpy.typing import NDArray

from earlybird.search.search import Search
from earlybird.vocabulary import Kind


class SearchCurves:
    """Reads a search whenever something is logged.

    Per kind, the criterion that the detector reads: `earlybird_nuclear-norm_KIND`, or another with its lag, as
    `earlybird_captured-20_KIND` (none with a rule on masks or scores, such as the default); `earlybird_statistic_KIND`
    once there is one, with `earlybird_threshold`; and
    `earlybird_overlap_KIND`: the share of the mask's units that the mask at the previous log kept, too. What has no
    value at a step is left out, and so is the threshold of a detector that has none.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._before: dict[Kind, NDArray[bool_]] = {}

    def newest(self) -> dict[str, float]:
        """The values at the newest step; {} before the first, and after the draw, when nothing is watched any more."""
        draw = self._search.draw
        if draw is not None and self._search.steps > draw.step + 1:
            return {}
        detection, masks = self._search.detection, self._search.masks()
        values: dict[str, float] = {}
        for stream, watched in detection.values.items() if masks else ():
            for criterion, value in watched.items():
                lag = f"-{criterion.lag}" if criterion.lag else ""
                values[f"earlybird_{criterion.name}{lag}_{stream}"] = value
            statistic = detection.detectors[stream].statistic
            if statistic is not None:
                values[f"earlybird_statistic_{stream}"] = statistic
                if detection.factory.threshold is not None:
                    values["earlybird_threshold"] = detection.factory.threshold
        for kind, mask in masks.items():
            if kind in self._before:
                values[f"earlybird_overlap_{kind}"] = float((mask & self._before[kind]).sum() / mask.sum())
        self._before = masks
        return {name: value for name, value in values.items() if math.isfinite(value)}
