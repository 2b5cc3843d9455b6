"""Random crop paste, an augmentation of the public ViT-CIFAR code base (github.com/omihub777/ViT-CIFAR)."""

from __future__ import annotations

import torch
from torch import Tensor


def crop_paste(images: Tensor) -> Tensor:
    """Blend a random box of each image over another random place of the same image.

    As in CutMix (Yun et al. 2019, arXiv 1905.04899, section 3.1) the box spans a share u ~ Beta(1, 1) of
    the area around a uniform centre, clipped at the borders. It is mirrored with probability 1/2, moved to a
    uniform place where it fits, and weighted there by a second draw from Beta(1, 1), that is uniformly.

    Args:
        images: float (batch, channels, height, width).

    Returns:
        Images of the same shape and type; the argument is left as it is.
    """
    batch, channels, height, width = images.shape
    draw = torch.rand(7, batch, 1)  # On the CPU for every device: one generator state decides.
    share = draw[0].sqrt()
    source_y, box_height, target_y = _box(height, share, draw[1], draw[2])
    source_x, box_width, target_x = _box(width, share, draw[3], draw[4])
    mirrored, weight = draw[5] < 0.5, draw[6]

    # For every row and column of the target: its offset in the box, and the source pixel it shows.
    offset_y = torch.arange(height) - target_y
    offset_x = torch.arange(width) - target_x
    inside_y = (offset_y >= 0) & (offset_y < box_height)
    inside_x = (offset_x >= 0) & (offset_x < box_width)
    offset_x = torch.where(mirrored, box_width - 1 - offset_x, offset_x)
    row = (source_y + offset_y).clamp(0, height - 1)
    column = (source_x + offset_x).clamp(0, width - 1)
    pixel = (row[:, :, None] * width + column[:, None, :]).view(batch, 1, -1).to(images.device)
    blend = (weight[:, :, None] * (inside_y[:, :, None] & inside_x[:, None, :]))[:, None].to(images)

    moved = images.flatten(2).gather(2, pixel.expand(-1, channels, -1)).view_as(images)
    return torch.lerp(images, moved, blend)


def _box(side: int, share: Tensor, centre: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return along one axis where the source box starts, its length and where the target starts."""
    middle = (centre * side).floor()
    half = (share * side / 2).floor()
    start = (middle - half).clamp(min=0)
    length = (middle + half).clamp(max=side) - start
    target = (place * (side - length + 1)).floor()
    return start.long(), length.long(), target.long()
