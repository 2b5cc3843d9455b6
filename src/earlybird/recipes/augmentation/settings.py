"""The settings of augmentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from earlybird.recipes.settings_base import Settings


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
