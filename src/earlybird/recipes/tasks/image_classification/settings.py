"""The settings of an image classification recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from earlybird.recipes.augmentation.settings import AugmentationSettings
from earlybird.recipes.data.settings import ImageDataSettings
from earlybird.recipes.settings import Fraction, PretrainedSettings, Recipe
from earlybird.recipes.settings_base import Settings


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
