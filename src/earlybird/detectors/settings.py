"""A detector by name, with its settings resolved to the steps of one run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from earlybird.detectors.base import Detector
from earlybird.detectors.criterion import NUCLEAR_NORM, Criterion, CriterionName, has_lag
from earlybird.detectors.pruning import Pruning
from earlybird.detectors.scores import Score
from earlybird.detectors.spans import Span
from earlybird.errors import InputError
from earlybird.stationarity.base import StationarityTest
from earlybird.trajectory import Kind

# How far a criterion looks back where the user does not say.
_DEFAULT_LAG = Span(0.05, "fraction")


@dataclass(frozen=True)
class ChosenSettings:
    """What a user set differently; None leaves a setting to the detector."""

    smoothing: Span | None = None
    window: Span | None = None
    every: Span | None = None
    start: Span | None = None
    lag: Span | None = None
    criterion: CriterionName | None = None
    threshold: float | None = None

    @property
    def given(self) -> dict[str, Span | str | float]:
        """Those that are set."""
        values = {name: getattr(self, name) for name in SETTING_NAMES}
        return {name: value for name, value in values.items() if value is not None}

    def restricted(self, specification: DetectorSpecification) -> ChosenSettings:
        """Without those that a detector does not have."""
        foreign = {name: None for name in self.given if not specification.has(name, self.criterion)}
        return replace(self, **foreign)


SETTING_NAMES = tuple(field.name for field in fields(ChosenSettings))


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
        threshold: what the statistic is compared with.
        null: the null hypothesis in one sentence, or why there is none.
        settled_below: whether a statistic below the threshold speaks for settled masks, or one above it.
        cost: of one check, by operations; n is the window's length, u the number of units.
        smoothing, window, every, start, lag: default spans.
        criterion: the series that it reads by default; None where it looks at masks and scores instead.
        least_window: the default window is never shorter than so many steps.
        unsmoothed: kinds whose series is not smoothed by default.
        remark: what else is set, in words.
        test: what judges a window of the series, for detectors that are such a test.
    """

    summary: str
    build: Callable[[ResolvedSettings], Detector]
    threshold: float
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

    def has(self, setting: str, criterion: CriterionName | None = None) -> bool:
        """Whether a user may set it; a lag also where the criterion chosen looks back."""
        if setting == "lag" and self.criterion is not None:
            return has_lag(criterion or self.criterion)
        return getattr(self, setting) is not None


class Choice(ABC):
    """What a user chose to decide by: builds one detector for each kind of unit.

    Attributes:
        name: as the user wrote it.
    """

    name: str

    @property
    @abstractmethod
    def summary(self) -> str:
        """What it does, in sentences."""

    @property
    @abstractmethod
    def threshold(self) -> float:
        """What the statistic is compared with."""

    @property
    @abstractmethod
    def settled_below(self) -> bool:
        """Whether a statistic below the threshold speaks for settled masks, or one above it."""

    @abstractmethod
    def member(
        self, kind: Kind, pruning: Pruning, score: Score, total_steps: int, steps_per_epoch: float | None
    ) -> Detector:
        """The detector of one kind for a run of so many steps, whenever its first check comes."""

    def build(
        self, kind: Kind, pruning: Pruning, score: Score, total_steps: int, steps_per_epoch: float | None
    ) -> Detector:
        """The detector of one kind for a run of so many steps.

        Raises:
            InputError: a setting that the detector does not have, an optional package that is not installed, or
                a first check after the end of the run.
        """
        detector = self.member(kind, pruning, score, total_steps, steps_per_epoch)
        if detector.first_check > total_steps:
            raise InputError(
                f"the first check of {self.name} would come at step {detector.first_check}, after the run's"
                f" {total_steps} steps; choose a shorter window or train longer"
            )
        return detector


@dataclass(frozen=True)
class DetectorChoice(Choice):
    """A specification with what the user set differently."""

    name: str
    specification: DetectorSpecification
    chosen: ChosenSettings = ChosenSettings()

    @property
    def summary(self) -> str:
        """As the specification says, whose settings are the defaults."""
        return self.specification.summary

    @property
    def threshold(self) -> float:
        """The user's, or the specification's."""
        return self.specification.threshold if self.chosen.threshold is None else self.chosen.threshold

    @property
    def settled_below(self) -> bool:
        """As the specification says."""
        return self.specification.settled_below

    def member(
        self, kind: Kind, pruning: Pruning, score: Score, total_steps: int, steps_per_epoch: float | None
    ) -> Detector:
        """Resolve the spans and build."""
        rule, chosen = self.specification, self.chosen
        for name in chosen.given:
            if not rule.has(name, chosen.criterion):
                raise InputError(
                    f"detector {self.name} has no setting {name!r}; leave it out, or name a detector that has it"
                )

        def steps(wanted: Span | None, default: Span | None) -> int:
            span = default if wanted is None else wanted
            return 0 if span is None else span.steps(total_steps, steps_per_epoch)

        smoothing = steps(chosen.smoothing, rule.smoothing)
        if chosen.smoothing is None and kind in rule.unsmoothed:
            smoothing = 1
        window = steps(chosen.window, rule.window)
        if chosen.window is None and rule.window is not None:
            window = max(window, rule.least_window)
        criterion = NUCLEAR_NORM
        if rule.criterion is not None:
            name = chosen.criterion or rule.criterion
            criterion = Criterion(name, steps(chosen.lag, _DEFAULT_LAG) if has_lag(name) else 0)
        return rule.build(
            ResolvedSettings(
                kind,
                pruning,
                score,
                total_steps,
                smoothing,
                window,
                steps(chosen.every, rule.every),
                steps(chosen.start, rule.start),
                steps(chosen.lag, rule.lag),
                criterion,
                self.threshold,
            )
        )
