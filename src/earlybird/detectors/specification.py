"""What a detector's name stands for: its default settings, and how it is built from those of one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from earlybird.detectors.base import Detector
from earlybird.detectors.criterion import Criterion, has_lag
from earlybird.masks import Rule
from earlybird.spans import Span
from earlybird.stationarity.base import StationarityTest
from earlybird.vocabulary import CriterionName, Kind, Score, Stream


@dataclass(frozen=True)
class ResolvedSettings:
    """What a detector of one kind is built from; spans in steps, 0 where the detector has no such setting."""

    kind: Stream
    rule: Rule
    score: Score
    total_steps: int
    smoothing: int
    window: int
    every: int
    start: int
    lag: int
    criterion: Criterion
    threshold: float


@dataclass(frozen=True)
class DetectorSpecification:
    """What a name stands for.

    `None` in a span means that the detector has no such setting; a user's value for it is an error.

    Attributes:
        summary: what it does, in one sentence.
        build: makes the detector.
        threshold: what the statistic is compared with; None where there is none.
        null: the null hypothesis in one sentence, or why there is none.
        settled_below: whether a statistic below the threshold speaks for settled masks, or one above it.
        cost: of one check, by operations; n is the window's length, u the number of units.
        smoothing, window, every, start, lag: default spans.
        criterion: the series that it reads by default; None where it looks at masks and scores instead.
        least_window: the default window is never shorter than so many steps.
        unsmoothed: kinds whose series is not smoothed by default.
        remark: what else is set, in words.
        test: what judges a window of the series, for detectors that are such a test.
        score: what it is made for, and reads where the user names none.
        of_all_kinds: whether it may watch heads and neurons together, as a budget asks: what counts units would hardly
            see the heads.
    """

    summary: str
    build: Callable[[ResolvedSettings], Detector]
    threshold: float | None
    null: str
    settled_below: bool
    cost: str
    smoothing: Span | None = None
    window: Span | None = None
    every: Span | None = None
    start: Span | None = None
    lag: Span | None = None
    criterion: CriterionName | None = None
    least_window: int = 4
    unsmoothed: tuple[Kind, ...] = ()
    remark: str = ""
    test: type[StationarityTest] | None = None
    score: Score = "coefficient"
    of_all_kinds: bool = False

    def has(self, setting: str, criterion: CriterionName | None = None) -> bool:
        """Whether a user may set it; a lag also where the criterion chosen looks back."""
        if setting == "lag" and self.criterion is not None:
            return has_lag(criterion or self.criterion)
        return getattr(self, setting) is not None
