"""The typed settings of a recipe that all tasks share: each key's type, bounds and default."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, field_validator, model_validator

from earlybird.detectors.criterion import CriterionName, criterion_named
from earlybird.detectors.detection import Detection
from earlybird.detectors.expression import choice_of
from earlybird.detectors.offline import detector_choice, prunings_for
from earlybird.detectors.pruning import Pruning
from earlybird.detectors.scores import Score
from earlybird.detectors.settings import SETTING_NAMES, Choice
from earlybird.detectors.spans import Span, parse_span
from earlybird.groups import Groups
from earlybird.trajectory import Kind

RECIPE_VERSION = 1

Ratio = Annotated[float, Field(ge=0, lt=1)]
# Written back as people write it, so that a dumped recipe reads like the one that was given.
SpanSetting = Annotated[Span, BeforeValidator(parse_span), PlainSerializer(str)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Epochs = Annotated[float, Field(gt=0, le=1e6)]  # so that their steps can be counted


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values never change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SourceSettings(Settings):
    """Where the examples are; each task adds the formats and the columns that it reads.

    `format` says how `source`, a hub name or a directory, is to be read; `train_limit` and `eval_limit` take the
    first so many examples of a shuffle with seed 0.
    """

    format: str
    source: str = ""
    config: str | None = None
    train_split: str = "train"
    eval_split: str = "test"
    train_limit: Annotated[int, Field(ge=1)] | None = None
    eval_limit: Annotated[int, Field(ge=1)] | None = None


class PretrainedSettings(Settings):
    """A pretrained model: a directory, or a name on the Hugging Face hub. It gets a new head for the task."""

    pretrained: Annotated[str, Field(min_length=1)]


class TrainingSettings(Settings):
    """One training run; rates are per step, epochs may be fractional, `workers` are processes that load data.

    `evaluate_every` adds evaluations on the way to the one at the end; their seconds are not the training's.
    """

    epochs: Epochs
    batch_size: Annotated[int, Field(ge=1)]
    eval_batch_size: Annotated[int, Field(ge=1)] = 256
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0)]
    final_learning_rate: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    max_gradient_norm: Annotated[float, Field(ge=0)] = 0.0
    mixed_precision: Literal["no", "bf16"] = "no"
    workers: Annotated[int, Field(ge=0)] = 0
    checkpoint_every: SpanSetting = Span(0.05, "fraction")
    evaluate_every: SpanSetting | None = None
    tensorboard: bool = False

    @model_validator(mode="after")
    def _warmup_ends_and_rate_falls(self) -> TrainingSettings:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs must be below epochs, got {self.warmup_epochs} of {self.epochs}")
        if self.final_learning_rate > self.learning_rate:
            raise ValueError("final_learning_rate must not exceed learning_rate")
        return self


class SlimmingSettings(Settings):
    """The coefficients: where they scale, how they are penalised and trained."""

    slim: Literal["after", "before"] = "after"
    neuron_slim: Literal["after", "before"] = "after"
    l1_heads: Annotated[float, Field(ge=0)] = 1e-4
    l1_neurons: Annotated[float, Field(ge=0)] = 1e-4
    learning_rate: Annotated[float, Field(gt=0)] | None = None


class Prunable(Protocol):
    """What tells how many units there are and which of them go together: an anatomy, or a record's shape."""

    @property
    def units(self) -> Mapping[Kind, tuple[int, ...]]: ...  # noqa: D102
    @property
    def key_value_groups(self) -> tuple[int, ...] | None: ...  # noqa: D102
    @property
    def admitted_heads(self) -> tuple[int, ...] | None: ...  # noqa: D102


class DetectorSettings(Settings):
    """Which units are pruned, by which score, and when the masks count as settled.

    `None` leaves a setting to the detector's own default; spans are steps (300), a fraction of the run ("2%")
    or epochs ("3ep").
    """

    heads: Ratio
    neurons: Ratio
    heads_scope: Literal["layer", "global"] = "layer"
    neurons_scope: Literal["layer", "global"] = "global"
    uniform: bool = False
    groups: Groups | None = None
    round_to: Annotated[int, Field(ge=1)] = 1
    score: Score = "coefficient"
    detector: str = "rank-correlation"
    smoothing: SpanSetting | None = None
    window: SpanSetting | None = None
    every: SpanSetting | None = None
    start: SpanSetting | None = None
    lag: SpanSetting | None = None
    criterion: CriterionName | None = None
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    joint: Literal["latched", "simultaneous"] = "latched"

    @field_validator("detector")
    @classmethod
    def _detector_is_known(cls, name: str) -> str:
        choice_of(name)
        return name

    @field_validator("criterion", mode="before")
    @classmethod
    def _criterion_is_known(cls, name: Any) -> Any:
        return name if name is None else criterion_named(str(name))

    @model_validator(mode="after")
    def _something_to_prune(self) -> DetectorSettings:
        if self.heads == 0 and self.neurons == 0:
            raise ValueError("search.heads and search.neurons are both 0: there is nothing to prune")
        return self

    def prunings(self, source: Prunable) -> dict[Kind, Pruning]:
        """What is to be pruned of a model (its anatomy) or a record (its shape).

        Raises:
            InputError: a ratio for a kind that is not there.
        """
        return prunings_for(
            source.units,
            heads=self.heads,
            neurons=self.neurons,
            heads_scope=self.heads_scope,
            neurons_scope=self.neurons_scope,
            uniform=self.uniform,
            key_value_groups=source.key_value_groups,
            groups=self.groups,
            round_to=self.round_to,
            admitted_heads=source.admitted_heads if self.uniform and self.heads else None,
        )

    def with_detector(self, name: str) -> DetectorSettings:
        """The same pruning and score, decided by another detector with its own default settings."""
        return self.model_copy(update={**dict.fromkeys(SETTING_NAMES), "detector": name})

    def choice(self) -> Choice:
        """The detector with its settings."""
        return detector_choice(
            self.detector,
            smoothing=self.smoothing,
            window=self.window,
            every=self.every,
            start=self.start,
            lag=self.lag,
            criterion=self.criterion,
            threshold=self.threshold,
        )

    def detection(self, source: Prunable, total_steps: int, steps_per_epoch: float | None) -> Detection:
        """The detection that these settings ask for, before its first step.

        Raises:
            InputError: a ratio for a kind that is not there, a setting that the detector does not have, or a
                first check after the end of the run.
        """
        return Detection(
            self.prunings(source),
            self.choice(),
            total_steps=total_steps,
            score=self.score,
            steps_per_epoch=steps_per_epoch,
            joint=self.joint,
        )


class SearchSettings(DetectorSettings):
    """The detector's settings, and what the search does with its verdict.

    `record="all"` records the gradients of the coefficients too, so that every score can be studied afterwards;
    by default only what the score needs is written.
    """

    record: Literal["score", "all"] = "score"
    to_the_end: bool = False
    unsettled: Literal["draw", "fail"] = "draw"


class RetrainingSettings(Settings):
    """How the pruned network trains; what is `None` is taken from `training`."""

    start: Literal["rewind", "continue", "both"] = "rewind"
    epochs: Epochs | None = None
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    final_learning_rate: Annotated[float, Field(ge=0)] | None = None
    schedule: Literal["cosine", "linear", "constant"] | None = None
    warmup_epochs: Annotated[float, Field(ge=0)] | None = None


class Recipe(Settings):
    """A whole job: what `earlybird run` reads. Each task adds its `data`, its `model` and what else it needs."""

    version: int
    task: str
    output: str
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    dense: bool = True
    random: bool = True
    data: SourceSettings
    training: TrainingSettings
    slimming: SlimmingSettings = SlimmingSettings()
    search: SearchSettings
    retraining: RetrainingSettings = RetrainingSettings()

    @model_validator(mode="before")
    @classmethod
    def _version_is_known(cls, values: Any) -> Any:
        version = values.get("version") if isinstance(values, dict) else None
        if version != RECIPE_VERSION:
            raise ValueError(
                f"recipe version must be {RECIPE_VERSION}, got {reprlib.repr(version)}: this earlybird reads no other"
            )
        return values
