"""Decoded images with their labels, and the statistics that normalise them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from earlybird.errors import InputError
from earlybird.recipes.data.decoding import check_images, decoded, decoded_in_order
from earlybird.recipes.data.limit import limited
from earlybird.recipes.data.split import Split

DECODED_LIMIT = 2**30  # bytes; a larger set is decoded item by item, again in every epoch
STATISTICS_LIMIT = 10_000  # images that a set above DECODED_LIMIT is measured on


class ImageDataset(Dataset[dict[str, Any]]):
    """Images of one size: item = {"pixel_values": uint8 (channels, image_size, image_size), "labels": int}.

    A set that takes less than 1 GiB decoded is decoded once, here: small images are cheap to hold and dear to
    decode over and over. A larger one is decoded item by item from memory-mapped files.

    Args:
        split: the images and labels.
        image_size: side in pixels.
        channels: 1 (grey) or 3 (RGB).
        limit: take so many, see `limited`.

    Raises:
        InputError: an image cannot be decoded (the message names its file or row); for a large set on access.
    """

    def __init__(self, split: Split, image_size: int, channels: int, limit: int | None = None) -> None:
        self._split = split
        self._rows = rows = limited(len(split.labels), limit)
        self._shape = (channels, image_size, image_size)
        self._decoded: torch.Tensor | None = None
        self._checked = False
        if len(rows) * channels * image_size**2 < DECODED_LIMIT:
            pixels = np.empty((len(rows), *self._shape), dtype=np.uint8)
            for index, image in enumerate(decoded_in_order(split, rows, image_size, channels)):
                pixels[index] = image
            self._decoded = torch.from_numpy(pixels)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one image and its label."""
        pixels = torch.from_numpy(self._decode(index)) if self._decoded is None else self._decoded[index]
        return {"pixel_values": pixels, "labels": int(self._split.labels[self._rows[index]])}

    @property
    def labels(self) -> NDArray[np.int64]:
        """The labels of all images, in order."""
        return self._split.labels[self._rows]

    def _decode(self, index: int) -> NDArray[np.uint8]:
        channels, image_size, _ = self._shape
        return decoded(self._split, int(self._rows[index]), image_size, channels)

    def check(self) -> None:
        """Decode each image of a set that is not held decoded; once.

        Raises:
            InputError: some cannot be decoded; the message names the first of their files or rows.
        """
        if self._decoded is None and not self._checked:
            channels, image_size, _ = self._shape
            check_images(self._split, self._rows, image_size, channels)
            self._checked = True

    def channel_statistics(self) -> Statistics:
        """Return mean and standard deviation per channel, values in [0, 1].

        Exact over all pixels of a decoded set; a larger one is measured on 10,000 images drawn with seed 0.

        Raises:
            InputError: a channel has the same value everywhere, so that it cannot be normalised.
        """
        counts = np.zeros((self._shape[0], 256), dtype=np.int64)
        for block in self._blocks():
            for channel in range(self._shape[0]):
                counts[channel] += np.bincount(block[:, channel].ravel(), minlength=256)
        values = np.arange(256) / 255
        shares = counts / counts.sum(axis=1, keepdims=True)
        mean = shares @ values
        std = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(axis=1))
        if not std.all():
            raise InputError(f"{self._split.where}: every image has the same value in all pixels of a channel")
        return Statistics(tuple(mean.tolist()), tuple(std.tolist()))

    def _blocks(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the images to measure, (images, channels, image_size, image_size) at a time."""
        if self._decoded is None:
            for index in np.random.default_rng(0).permutation(len(self))[:STATISTICS_LIMIT].tolist():
                yield self._decode(index)[None]
        else:
            for block in torch.split(self._decoded, 1024):
                yield block.numpy()


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation per channel, of values in [0, 1], that images are normalised by."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class ImageData:
    """What a run trains and evaluates on.

    `labels` names the classes that the items' integers index. `notes` are sentences on files that are not read and
    classes without examples.
    """

    train: ImageDataset
    evaluation: ImageDataset
    labels: tuple[str, ...]
    statistics: Statistics
    notes: tuple[str, ...]
