"""The settings of an image classification recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from earlybird.recipes.settings import Fraction, PretrainedSettings, Recipe, Settings, SourceSettings


class ImageDataSettings(SourceSettings):
    """Where the images are.

    `format` says how `source` is to be read: a Hugging Face hub name (`hub`), a directory of Parquet files in
    the hub's layout (`parquet`: `train*.parquet`, `test*.parquet`), one folder per class below one folder per
    split (`image-folder`), the four IDX files of MNIST and its successors (`idx`), or scikit-learn's bundled
    handwritten digits (`digits`, which needs no source).
    """

    format: Literal["hub", "parquet", "image-folder", "idx", "digits"]
    image_column: str = "image"
    label_column: str = "label"

    @model_validator(mode="after")
    def _source_is_named(self) -> ImageDataSettings:
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


class ImageRecipe(Recipe):
    """What both ways of training on images have in common."""

    task: Literal["image-classification"]
    data: ImageDataSettings
    augmentation: AugmentationSettings = AugmentationSettings()


class ImageClassificationRecipe(ImageRecipe):
    """A Vision Transformer from scratch."""

    model: ModelSettings


class ImageFineTuningRecipe(ImageRecipe):
    """A pretrained image model with a new head; images are brought to its size and normalised as it expects."""

    model: PretrainedSettings
