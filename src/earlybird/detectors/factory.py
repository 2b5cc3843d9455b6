"""What decides, as the user chose it, with its settings resolved to the steps of one run."""

from __future__ import annotations

import copy
import inspect
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, TypeVar

from earlybird.config import DETECTOR_SETTINGS, SPANS, DetectorConfig
from earlybird.detectors.base import Detector
from earlybird.detectors.criterion import NUCLEAR_NORM, Criterion, has_lag
from earlybird.detectors.specification import DetectorSpecification, ResolvedSettings
from earlybird.errors import InputError
from earlybird.masks import BudgetRule, Rule
from earlybird.spans import Span, parse_span
from earlybird.vocabulary import SCORES, Score, Stream

Config = TypeVar("Config", bound=DetectorConfig)

# How far a criterion looks back where the user does not say.
_DEFAULT_LAG = Span(0.05, "fraction")


class DetectorFactory(ABC):
    """What decides, as the user chose it: builds one detector for each kind of unit.

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
    def threshold(self) -> float | None:
        """What the statistic is compared with, where that is known."""

    @property
    @abstractmethod
    def settled_below(self) -> bool:
        """Whether a statistic below the threshold speaks for settled masks, or one above it."""

    @property
    @abstractmethod
    def score(self) -> Score:
        """What it is made for."""

    @property
    @abstractmethod
    def of_all_kinds(self) -> bool:
        """Whether it may watch heads and neurons together, as a budget asks."""

    @abstractmethod
    def member(
        self, kind: Stream, rule: Rule, score: Score, total_steps: int, steps_per_epoch: float | None
    ) -> Detector:
        """The detector of one kind for a run of so many steps, whenever its first check comes."""

    def build(
        self, kind: Stream, rule: Rule, score: Score, total_steps: int, steps_per_epoch: float | None
    ) -> Detector:
        """The detector of one kind for a run of so many steps.

        Raises:
            InputError: a setting that the detector does not have, an optional package that is not installed, or
                a first check after the end of the run.
        """
        detector = self.member(kind, rule, score, total_steps, steps_per_epoch)
        if detector.first_check > total_steps:
            spans = self.spans(kind, total_steps, steps_per_epoch)
            by_length = sorted(spans, key=lambda name: -spans[name])
            long = [name for name in by_length if spans[name] > max(1, total_steps / 4)]
            waits = f", since it waits for {' and '.join(f'{name}={spans[name]}' for name in long)}" if long else ""
            shorter = f"a shorter {' or '.join(long)}" if long else "a detector that looks earlier"
            raise InputError(
                f"the first check of {self.name} would come at step {detector.first_check}, after the run's"
                f" {total_steps} steps{waits}; choose {shorter}, or train longer"
            )
        return detector

    def spans(self, kind: Stream, total_steps: int, steps_per_epoch: float | None) -> dict[str, int]:
        """Setting -> steps in a run of so many, of those that the first check waits for, where they are known."""
        return {}


@dataclass(frozen=True)
class NamedDetector(DetectorFactory):
    """A specification with what a config sets differently; None there leaves a setting to the specification."""

    name: str
    specification: DetectorSpecification
    chosen: DetectorConfig = field(default_factory=DetectorConfig)

    @property
    def summary(self) -> str:
        """As the specification says, whose settings are the defaults."""
        return self.specification.summary

    @property
    def threshold(self) -> float | None:
        """The user's, or the specification's."""
        return self.specification.threshold if self.chosen.threshold is None else self.chosen.threshold

    @property
    def settled_below(self) -> bool:
        """As the specification says."""
        return self.specification.settled_below

    @property
    def score(self) -> Score:
        """As the specification says."""
        return self.specification.score

    @property
    def of_all_kinds(self) -> bool:
        """As the specification says."""
        return self.specification.of_all_kinds

    def member(
        self, kind: Stream, rule: Rule, score: Score, total_steps: int, steps_per_epoch: float | None
    ) -> Detector:
        """Resolve the spans and build."""
        defaults, chosen = self.specification, self.chosen
        if isinstance(rule, BudgetRule) and not defaults.of_all_kinds:
            raise InputError(
                f"{self.name} counts units, and with a budget a head would count as little as a neuron: choose a"
                " detector by what is captured, recent-half-capture for instance, fixed-time or random-start; or give"
                " ratios"
            )
        for name in given_settings(chosen):
            if not defaults.has(name, chosen.criterion):
                raise InputError(
                    f"detector {self.name} has no setting {name!r}; leave it out, or name a detector that has it"
                )

        criterion = NUCLEAR_NORM
        if defaults.criterion is not None:
            name = chosen.criterion or defaults.criterion
            looks_back = parse_span(chosen.lag) or _DEFAULT_LAG
            criterion = Criterion(name, looks_back.steps(total_steps, steps_per_epoch) if has_lag(name) else 0)
        return defaults.build(
            ResolvedSettings(
                kind,
                rule,
                score,
                total_steps,
                **self.spans(kind, total_steps, steps_per_epoch),
                criterion=criterion,
                threshold=math.nan if self.threshold is None else self.threshold,
            )
        )

    def spans(self, kind: Stream, total_steps: int, steps_per_epoch: float | None) -> dict[str, int]:
        """The user's spans, or the specification's, in steps; 0 where there is no such setting."""
        steps: dict[str, int] = {}
        for name in SPANS:
            span = parse_span(getattr(self.chosen, name)) or getattr(self.specification, name)
            steps[name] = 0 if span is None else span.steps(total_steps, steps_per_epoch)
        if self.chosen.smoothing is None and kind in self.specification.unsmoothed:
            steps["smoothing"] = 1
        if self.chosen.window is None and self.specification.window is not None:
            steps["window"] = max(steps["window"], self.specification.least_window)
        return steps


@dataclass(frozen=True)
class OwnDetector(DetectorFactory):
    """A detector of the user's own: every kind gets a copy of the object."""

    detector: Detector

    @property
    def name(self) -> str:  # type: ignore[override]
        """Its class."""
        return type(self.detector).__name__

    @property
    def summary(self) -> str:
        """The first line of its documentation."""
        return (inspect.getdoc(type(self.detector)) or "").partition("\n")[0]

    @property
    def threshold(self) -> float | None:
        """Its own, where it has a number of that name."""
        threshold = getattr(self.detector, "threshold", None)
        return float(threshold) if isinstance(threshold, Real) else None

    @property
    def settled_below(self) -> bool:
        """As it says, if it says."""
        return bool(getattr(self.detector, "settled_below", False))

    @property
    def score(self) -> Score:
        """As it says, if it says; what is made for gradients has to."""
        score = getattr(self.detector, "score", None)
        return score if score in SCORES else "coefficient"

    @property
    def of_all_kinds(self) -> bool:
        """Nothing is known of it."""
        return False

    def member(
        self, kind: Stream, rule: Rule, score: Score, total_steps: int, steps_per_epoch: float | None
    ) -> Detector:
        """A copy."""
        return copy.deepcopy(self.detector)


def given_settings(config: DetectorConfig) -> list[str]:
    """The detector's own settings that a config sets."""
    return [name for name in DETECTOR_SETTINGS if getattr(config, name) is not None]


def restricted(config: Config, specification: DetectorSpecification) -> Config:
    """A config without the settings that a detector does not have."""
    foreign: dict[str, Any] = {
        name: None for name in given_settings(config) if not specification.has(name, config.criterion)
    }
    return replace(config, **foreign)
