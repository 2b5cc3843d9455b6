"""A detector by name, with its settings resolved to the steps of one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from earlybird.detectors.base import Detector
from earlybird.detectors.observe import Pruning
from earlybird.detectors.scores import Score
from earlybird.detectors.spans import Span
from earlybird.errors import InputError
from earlybird.trajectory import Kind


@dataclass(frozen=True)
class ResolvedSettings:
    """What a detector of one kind is built from; spans in steps, 0 where the detector has no such setting."""

    kind: Kind
    pruning: Pruning
    score: Score
    total_steps: int
    smoothing: int
    window: int
    every: int
    start: int
    threshold: float


@dataclass(frozen=True)
class DetectorSpecification:
    """What a name stands for.

    `None` in a span means that the detector has no such setting; a user's value for it is an error.

    Attributes:
        summary: what it does, in one sentence.
        build: makes the detector.
        threshold: what the statistic is compared with.
        null: the null hypothesis in one sentence, or why there is none.
        settled_below: whether a statistic below the threshold speaks for settled masks, or one above it.
        smoothing, window, every, start: default spans.
        least_window: the default window is never shorter than so many steps.
        unsmoothed: kinds whose series is not smoothed by default.
        remark: what else is set, in words.
    """

    summary: str
    build: Callable[[ResolvedSettings], Detector]
    threshold: float
    null: str
    settled_below: bool
    smoothing: Span | None = None
    window: Span | None = None
    every: Span | None = None
    start: Span | None = None
    least_window: int = 4
    unsmoothed: tuple[Kind, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class DetectorChoice:
    """A specification with what the user set differently."""

    name: str
    specification: DetectorSpecification
    smoothing: Span | None = None
    window: Span | None = None
    every: Span | None = None
    start: Span | None = None
    chosen_threshold: float | None = None

    @property
    def threshold(self) -> float:
        """What the statistic is compared with."""
        return self.specification.threshold if self.chosen_threshold is None else self.chosen_threshold

    def build(
        self, kind: Kind, pruning: Pruning, score: Score, total_steps: int, steps_per_epoch: float | None
    ) -> Detector:
        """The detector of one kind for a run of so many steps.

        Raises:
            InputError: a setting that the detector does not have, or a first check after the end of the run.
        """
        rule = self.specification

        def steps(name: str, chosen: Span | None, default: Span | None) -> int:
            if default is None and chosen is not None:
                raise InputError(f"detector {self.name} has no setting {name!r}; leave it out")
            span = default if chosen is None else chosen
            return 0 if span is None else span.steps(total_steps, steps_per_epoch)

        smoothing = steps("smoothing", self.smoothing, rule.smoothing)
        if self.smoothing is None and kind in rule.unsmoothed:
            smoothing = 1
        window = steps("window", self.window, rule.window)
        if self.window is None and rule.window is not None:
            window = max(window, rule.least_window)
        every = steps("every", self.every, rule.every)
        start = steps("start", self.start, rule.start)
        detector = rule.build(
            ResolvedSettings(kind, pruning, score, total_steps, smoothing, window, every, start, self.threshold)
        )
        if detector.first_check > total_steps:
            spans = {"smoothing": smoothing, "window": window, "every": every, "start": start}
            settings = ", ".join(f"{name} {value}" for name, value in spans.items() if value)
            raise InputError(
                f"the first check of {self.name} would come at step {detector.first_check}, after the run's"
                f" {total_steps} steps ({settings}); choose a shorter window or train longer"
            )
        return detector
