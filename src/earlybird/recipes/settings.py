"""The typed settings of a recipe that all tasks share: each key's type, bounds and default."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from earlybird.config import (
    CompensationConfig,
    DetectorConfig,
    PruningConfig,
    SearchConfig,
    SlimmingConfig,
    refuse_ratios_by_name,
    refuse_scores_that_do_not_add_up,
)
from earlybird.detectors.defaults import detector_and_score
from earlybird.detectors.expression import detector_factory
from earlybird.errors import InputError
from earlybird.recipes.data.settings import SourceSettings
from earlybird.recipes.settings_base import Settings
from earlybird.spans import Span
from earlybird.vocabulary import KINDS

RECIPE_VERSION = 1

Fraction = Annotated[float, Field(ge=0, le=1)]
Epochs = Annotated[float, Field(gt=0, le=1e6)]  # so that their steps can be counted


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
    checkpoint_every: Span = Span(0.05, "fraction")
    evaluate_every: Span | None = None
    tensorboard: bool = False

    @model_validator(mode="after")
    def _warmup_ends_and_rate_falls(self) -> TrainingSettings:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs must be below epochs, got {self.warmup_epochs} of {self.epochs}")
        if self.final_learning_rate > self.learning_rate:
            raise ValueError("final_learning_rate must not exceed learning_rate")
        return self


# pydantic's way of saying it on a dataclass: unknown keys are errors here too.
_STRICT = {"extra": "forbid"}


@dataclass(frozen=True, kw_only=True)
class SlimmingSettings(SlimmingConfig):
    """The coefficients: where they act, how they are penalised and trained; by default at the weights' rate."""

    __pydantic_config__ = _STRICT


@dataclass(frozen=True, kw_only=True)
class SearchSettings(DetectorConfig, CompensationConfig, PruningConfig):
    """What is pruned and mended, when the masks count as settled, and what the search does with that verdict.

    `record="all"` records the gradients of the coefficients too, so that every score can be studied afterwards;
    by default only what the score needs is written.
    """

    __pydantic_config__ = _STRICT

    record: Literal["score", "all"] = "score"
    to_the_end: bool = False
    unsettled: Literal["draw", "fail"] = "draw"

    def __post_init__(self) -> None:
        if self.detector is not None and not isinstance(self.detector, str):
            raise InputError(f"detector: a recipe names its detector, got {self.detector!r}; see `earlybird detectors`")
        refuse_ratios_by_name(self)
        PruningConfig.__post_init__(self)
        CompensationConfig.__post_init__(self)
        DetectorConfig.__post_init__(self)
        if not any(getattr(self, kind) for kind in KINDS) and self.budget is None:
            raise InputError(f"{', '.join(KINDS)} are all 0, and there is no budget: there is nothing to prune")
        detector, score = detector_and_score(self)
        detector_factory(self)  # which refuses a name that there is not
        for name, value in (("detector", detector), ("score", score)):
            object.__setattr__(self, name, value)  # so that a written recipe says it
        refuse_scores_that_do_not_add_up(self, self)


class RetrainingSettings(Settings):
    """How the pruned network trains; what is `None` is taken from `training`.

    Where `weights` are not named, a search by gradients continues, and one by coefficients, which draws late, rewinds.
    """

    weights: Literal["rewind", "continue", "both"] | None = None
    epochs: Epochs | None = None
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    final_learning_rate: Annotated[float, Field(ge=0)] | None = None
    schedule: Literal["cosine", "linear", "constant"] | None = None
    warmup_epochs: Annotated[float, Field(ge=0)] | None = None


class Recipe(Settings):
    """A whole job: what `earlybird run` reads. Each task adds its `data`, its `model` and what else it needs.

    `dense` trains the dense network too, `dense_matched` once more for no more FLOPs than the ticket took in all, and
    `random` a random ticket of the same shape.
    """

    version: int
    task: str
    output: str
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    dense: bool = True
    dense_matched: bool = False
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

    @model_validator(mode="after")
    def _weights_are_said(self) -> Recipe:
        if self.retraining.weights is None:
            weights = "rewind" if self.search.score == "coefficient" else "continue"
            said = self.retraining.model_copy(update={"weights": weights})
            object.__setattr__(self, "retraining", said)
        return self

    @property
    def search_config(self) -> SearchConfig:
        """All settings of the search, of both sections."""
        return search_config(self.search, self.slimming)


def search_config(search: SearchSettings, slimming: SlimmingSettings) -> SearchConfig:
    """The two sections of a recipe that say how to search, as one."""
    of_search = {each.name for part in (PruningConfig, CompensationConfig, DetectorConfig) for each in fields(part)}
    values = {name: getattr(search, name) for name in of_search}
    return SearchConfig(**values, **{each.name: getattr(slimming, each.name) for each in fields(SlimmingConfig)})
