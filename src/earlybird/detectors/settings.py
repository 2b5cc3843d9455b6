"""A detector by name, with its settings resolved to the steps of one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from earlybird.detectors.base import Detector
from earlybird.detectors.hamming import HammingDistance
from earlybird.detectors.spans import Span
from earlybird.detectors.window import WindowedTest
from earlybird.errors import InputError
from earlybird.stationarity.base import StationarityTest
from earlybird.trajectory import Kind


@dataclass(frozen=True)
class DetectorSpecification:
    """What a name stands for.

    `None` in a span means that the detector has no such setting; a user's value for it is an error.

    Attributes:
        summary: what it does, in one sentence.
        test: the stationarity test, or None for Hamming's rule.
        threshold: what the statistic is compared with.
        smoothing, window, every, start: default spans.
        least_window: the default window is never shorter than so many steps.
        later_window: window of all checks after the first, in steps.
        unsmoothed: kinds whose series is not smoothed.
        queue: masks that Hamming's rule holds.
    """

    summary: str
    test: Callable[[float | None], StationarityTest] | None
    threshold: float
    every: Span
    smoothing: Span | None = None
    window: Span | None = None
    start: Span | None = None
    least_window: int = 4
    later_window: int | None = None
    unsmoothed: tuple[Kind, ...] = ()
    queue: int = 5

    @property
    def null(self) -> str:
        """The null hypothesis in one sentence, or why there is none."""
        return "none: a rule, not a test" if self.test is None else self.test(None).null


@dataclass(frozen=True)
class DetectorChoice:
    """A specification with what the user set differently."""

    name: str
    specification: DetectorSpecification
    smoothing: Span | None = None
    window: Span | None = None
    every: Span | None = None
    start: Span | None = None
    threshold: float | None = None

    def build(self, kind: Kind, units: tuple[int, ...], total_steps: int, steps_per_epoch: float | None) -> Detector:
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

        threshold = rule.threshold if self.threshold is None else self.threshold
        every = steps("every", self.every, rule.every)
        smoothing = steps("smoothing", self.smoothing, rule.smoothing)
        window = steps("window", self.window, rule.window)
        start = steps("start", self.start, rule.start)
        if rule.test is None:
            if rule.queue * every > total_steps:
                raise InputError(
                    f"{self.name} needs {rule.queue} masks, one every {every} steps, more than the run's"
                    f" {total_steps} steps; take masks more often or train longer"
                )
            return HammingDistance(queue=rule.queue, threshold=threshold, every=every, units=units)
        if self.window is None:
            window = max(window, rule.least_window)
        if self.smoothing is None and kind in rule.unsmoothed:
            smoothing = 1
        detector = WindowedTest(
            rule.test(threshold),
            smoothing=smoothing,
            window=window,
            every=every,
            start=start,
            later_window=rule.later_window,
        )
        if detector.first_check > total_steps:
            raise InputError(
                f"the first check of {self.name} would come at step {detector.first_check}, after the run's"
                f" {total_steps} steps (smoothing {smoothing}, window {window}, every {every});"
                " choose a shorter window or train longer"
            )
        return detector
