"""AutoAugment with one sub-policy per image (Cubuk et al. 2018, arXiv 1805.09501)."""

from __future__ import annotations

from typing import Literal

import torch
from kornia.augmentation.auto import AutoAugment as BatchAutoAugment
from torch import Tensor


class AutoAugment:
    """A learned policy: each image passes through one of 25 pairs of operations, drawn uniformly.

    Operations and magnitudes are Kornia's: the signed range of each operation in ten bins, a value drawn
    inside the bin. Unlike the common PIL implementations, directions are not mirrored at random, uncovered
    pixels are black, and brightness is added, so that a few percent of CIFAR-10's images end nearly blank.
    """

    def __init__(self, policy: Literal["cifar10", "svhn", "imagenet"]) -> None:
        # Kornia's module draws one pair per call, hence for a whole batch: 128 images would be, say,
        # solarised together, and gradients would swing from operation to operation. The paper draws a pair
        # for every image of a mini-batch. So Kornia's pairs are kept apart, each called on its images.
        self._pairs = tuple(BatchAutoAugment(policy).children())

    def __call__(self, images: Tensor) -> Tensor:
        """Return augmented images: float (batch, 1 or 3, height, width) with values in [0, 1], as given."""
        # Colour operations are defined on RGB; grey images go through as RGB with three equal channels.
        colours = images.expand(-1, 3, -1, -1)
        drawn = torch.randint(len(self._pairs), (len(images),))
        output = torch.empty_like(images)
        for pair in sorted(set(drawn.tolist())):
            group = (drawn == pair).nonzero().squeeze(1).to(images.device)
            output[group] = self._pairs[pair](colours[group])[:, : images.shape[1]]
        return output.clamp(0, 1)
