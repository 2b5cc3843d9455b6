"""The typed settings of a recipe: every key of the YAML file, its type, its bounds and its default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, field_validator, model_validator

from earlybird.detectors.detection import Detection
from earlybird.detectors.observe import Pruning
from earlybird.detectors.offline import detector_choice, prunings_for
from earlybird.detectors.presets import detector_named
from earlybird.detectors.scores import Score
from earlybird.detectors.settings import DetectorChoice
from earlybird.detectors.spans import Span, parse_span
from earlybird.trajectory import Kind

RECIPE_VERSION = 1

Ratio = Annotated[float, Field(ge=0, lt=1)]
# Written back as people write it, so that a dumped recipe reads like the one that was given.
SpanSetting = Annotated[Span, BeforeValidator(parse_span), PlainSerializer(str)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values never change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSettings(Settings):
    """Where the images are.

    `format` says how `source` is to be read: a Hugging Face hub name (`hub`), a directory of Parquet files in
    the hub's layout (`parquet`: `train*.parquet`, `test*.parquet`), one folder per class below one folder per
    split (`image-folder`), the four IDX files of MNIST and its successors (`idx`), or scikit-learn's bundled
    handwritten digits (`digits`, which needs no source).
    """

    format: Literal["hub", "parquet", "image-folder", "idx", "digits"]
    source: str = ""
    config: str | None = None
    train_split: str = "train"
    eval_split: str = "test"
    image_column: str = "image"
    label_column: str = "label"
    train_limit: Annotated[int, Field(ge=1)] | None = None
    eval_limit: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _source_is_named(self) -> DataSettings:
        if self.format != "digits" and not self.source:
            raise ValueError(f"data.source is missing: data.format={self.format} needs a hub name or a directory")
        return self


class AugmentationSettings(Settings):
    """What happens to a training batch; evaluation images are only normalised."""

    crop_padding: Annotated[int, Field(ge=0)] = 0
    crop_paste: bool = False
    flip: bool = False
    auto_augment: Literal["none", "cifar10", "svhn", "imagenet"] = "none"
    mixup: bool = False
    cutmix: bool = False

    @model_validator(mode="after")
    def _one_mix(self) -> AugmentationSettings:
        if self.mixup and self.cutmix:
            raise ValueError("mixup and cutmix both mix labels: choose one")
        return self


class ModelSettings(Settings):
    """A Hugging Face `ViTForImageClassification` built from a config; sizes in pixels and features."""

    patch_size: Annotated[int, Field(ge=1)]
    image_size: Annotated[int, Field(ge=1)]
    channels: Annotated[int, Field(ge=1)] = 3
    layers: Annotated[int, Field(ge=1)]
    heads: Annotated[int, Field(ge=1)]
    hidden: Annotated[int, Field(ge=1)]
    neurons: Annotated[int, Field(ge=1)]
    dropout: Fraction = 0.0
    pooling: Literal["class-token", "mean"] = "class-token"
    softmax: Literal["standard", "off_by_one"] = "standard"

    @model_validator(mode="after")
    def _sizes_divide(self) -> ModelSettings:
        if self.hidden % self.heads:
            raise ValueError(f"model.hidden must be a multiple of model.heads, got {self.hidden} and {self.heads}")
        if self.image_size % self.patch_size:
            raise ValueError(
                f"model.image_size must be a multiple of model.patch_size, got {self.image_size} and {self.patch_size}"
            )
        return self


class TrainingSettings(Settings):
    """One training run; rates are per step, epochs may be fractional."""

    epochs: Annotated[float, Field(gt=0)]
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
    checkpoint_every: SpanSetting = Span(0.05, "fraction")

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
    round_to: Annotated[int, Field(ge=1)] = 1
    score: Score = "coefficient"
    detector: str = "equivalence"
    smoothing: SpanSetting | None = None
    window: SpanSetting | None = None
    every: SpanSetting | None = None
    start: SpanSetting | None = None
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    joint: Literal["latched", "simultaneous"] = "latched"

    @field_validator("detector")
    @classmethod
    def _detector_is_known(cls, name: str) -> str:
        detector_named(name)
        return name

    @model_validator(mode="after")
    def _something_to_prune(self) -> DetectorSettings:
        if self.heads == 0 and self.neurons == 0:
            raise ValueError("search.heads and search.neurons are both 0: there is nothing to prune")
        return self

    def prunings(self, units: Mapping[Kind, tuple[int, ...]]) -> dict[Kind, Pruning]:
        """What is to be pruned of a model or record with so many units in each block.

        Raises:
            InputError: a ratio for a kind that is not there.
        """
        return prunings_for(
            units,
            heads=self.heads,
            neurons=self.neurons,
            heads_scope=self.heads_scope,
            neurons_scope=self.neurons_scope,
            uniform=self.uniform,
            round_to=self.round_to,
        )

    def choice(self) -> DetectorChoice:
        """The detector with its settings."""
        return detector_choice(
            self.detector,
            smoothing=self.smoothing,
            window=self.window,
            every=self.every,
            start=self.start,
            threshold=self.threshold,
        )

    def detection(
        self, units: Mapping[Kind, tuple[int, ...]], total_steps: int, steps_per_epoch: float | None
    ) -> Detection:
        """The detection that these settings ask for, before its first step.

        Raises:
            InputError: a ratio for a kind that is not there, a setting that the detector does not have, or a
                first check after the end of the run.
        """
        return Detection(
            self.prunings(units),
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
    epochs: Annotated[float, Field(gt=0)] | None = None
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    final_learning_rate: Annotated[float, Field(ge=0)] | None = None
    schedule: Literal["cosine", "linear", "constant"] | None = None
    warmup_epochs: Annotated[float, Field(ge=0)] | None = None


class Recipe(Settings):
    """A whole job: what `earlybird run` reads."""

    version: int
    task: Literal["image-classification"]
    output: str
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    dense: bool = True
    random: bool = True
    data: DataSettings
    augmentation: AugmentationSettings = AugmentationSettings()
    model: ModelSettings
    training: TrainingSettings
    slimming: SlimmingSettings = SlimmingSettings()
    search: SearchSettings
    retraining: RetrainingSettings = RetrainingSettings()

    @model_validator(mode="before")
    @classmethod
    def _version_is_known(cls, values: Any) -> Any:
        version = values.get("version") if isinstance(values, dict) else None
        if version != RECIPE_VERSION:
            raise ValueError(f"recipe version must be {RECIPE_VERSION}, got {version!r}: this earlybird reads no other")
        return values
