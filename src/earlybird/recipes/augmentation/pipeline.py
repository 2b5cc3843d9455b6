"""The whole way of a training batch: crop, flip, AutoAugment, normalisation, mixing, soft targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from kornia.augmentation import RandomCrop, RandomCutMixV2, RandomHorizontalFlip, RandomMixUpV2
from torch import Tensor, nn
from torch.nn.functional import one_hot

from earlybird.recipes.augmentation.auto_augment import AutoAugment
from earlybird.recipes.augmentation.crop_paste import crop_paste
from earlybird.recipes.augmentation.settings import AugmentationSettings


class Augmentation(nn.Module):
    """Turns a batch of decoded images into what the network trains on, in the order of ViT-CIFAR's training.

    Crop (zero padding), horizontal flip (p = 1/2), AutoAugment, crop paste, normalisation; then CutMix (Yun
    et al. 2019, arXiv 1905.04899) or MixUp (Zhang et al. 2018, arXiv 1710.09412), both with Beta(1, 1) per
    image; then label smoothing (Szegedy et al. 2016, arXiv 1512.00567, section 7).

    Every draw comes from torch's global CPU generator, whatever the device of the images: restoring that
    generator's state repeats a batch exactly. There are no parameters and no state.

    Args:
        settings: which steps are on.
        mean: per channel, of values in [0, 1].
        std: per channel, of values in [0, 1].
        labels: number of classes.
        label_smoothing: share of the target spread evenly over all classes, in [0, 1).
    """

    def __init__(
        self,
        settings: AugmentationSettings,
        mean: Sequence[float],
        std: Sequence[float],
        labels: int,
        label_smoothing: float,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._mean, self._std = mean, std
        self._labels = labels
        self._label_smoothing = label_smoothing
        # Kornia's modules stay hidden from torch, in tuples: `.to(device)` would move their draws to the
        # device's generator, and their unused probability parameters would end up in an optimiser.
        steps: list[Callable[[Tensor], Tensor]] = []
        if settings.crop_padding:
            steps.append(self._crop)
        if settings.flip:
            steps.append(RandomHorizontalFlip(p=0.5))
        if settings.auto_augment != "none":
            steps.append(AutoAugment(settings.auto_augment))
        if settings.crop_paste:
            steps.append(crop_paste)
        self._steps = tuple(steps)
        keys = ["input", "class"]
        self._mixing = (
            RandomCutMixV2(data_keys=keys, use_correct_lambda=True) if settings.cutmix else None,
            RandomMixUpV2(data_keys=keys) if settings.mixup else None,
        )

    @torch.no_grad()
    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return normalised images and target probabilities.

        Args:
            images: uint8 (batch, channels, height, width).
            labels: int64 (batch,).

        Returns:
            float32 (batch, channels, height, width), and float32 (batch, labels) whose rows sum to 1.
        """
        values = images.float() / 255
        for step in self._steps:
            values = step(values)
        values = _standardise(values, self._mean, self._std)
        values, targets = self._mix(values, labels)
        return values, targets * (1 - self._label_smoothing) + self._label_smoothing / self._labels

    def _crop(self, values: Tensor) -> Tensor:
        height, width = values.shape[-2:]
        cropped: Tensor = RandomCrop((height, width), padding=self._settings.crop_padding)(values)
        return cropped

    def _mix(self, values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        cutmix, mixup = self._mixing
        if cutmix is not None:
            # (1, batch, 3): own label, partner's label, share of the area that shows the own image.
            values, mixed = cutmix(values, labels)
            own, partner, own_share = mixed[0].unbind(-1)
        elif mixup is not None:
            # (batch, 3): own label, partner's label, and here the weight of the partner.
            values, mixed = mixup(values, labels)
            own, partner, partner_share = mixed.unbind(-1)
            own_share = 1 - partner_share
        else:
            return values, self._one_hot(labels)
        own_share = own_share[:, None]
        return values, own_share * self._one_hot(own) + (1 - own_share) * self._one_hot(partner)

    def _one_hot(self, labels: Tensor) -> Tensor:
        return one_hot(labels.long(), self._labels).float()


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return what evaluation feeds the network: (images / 255 - mean) / std, per channel.

    Args:
        images: uint8 (batch, channels, height, width) or (channels, height, width).
        mean: per channel, of values in [0, 1].
        std: per channel, of values in [0, 1].

    Returns:
        float32 of the same shape.
    """
    return _standardise(images.float() / 255, mean, std)


def _standardise(values: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    centre, scale = values.new_tensor(mean), values.new_tensor(std)
    return (values - centre[:, None, None]) / scale[:, None, None]
