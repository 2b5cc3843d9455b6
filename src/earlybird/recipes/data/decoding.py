"""The images of a split, decoded, or named by their files where they cannot be."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from earlybird.errors import InputError
from earlybird.recipes.data.pixels import decode_image
from earlybird.recipes.data.split import Split

_BLOCK = 64  # images that a thread decodes at a time
_NAMED = 5  # images that an error names


def decoded(split: Split, row: int, image_size: int, channels: int) -> NDArray[np.uint8]:
    """Return one image's pixels, (channels, image_size, image_size).

    Raises:
        InputError: it cannot be decoded; the message names its file, or its row where it has no file of its own.
    """
    pixels = _decode(split.images[row], image_size, channels)
    if isinstance(pixels, Exception):
        raise InputError(_unusable([(row, pixels)], split)) from pixels
    return pixels


def decoded_in_order(
    split: Split, rows: NDArray[np.int64], image_size: int, channels: int
) -> Iterator[NDArray[np.uint8]]:
    """Yield the pixels of these rows, (channels, image_size, image_size) each, decoded by several threads.

    Raises:
        InputError: some cannot be decoded. All rows are tried first; the message names the first of the files and
            says how many more there are.
    """
    Image.init()  # Not thread-safe.
    faults: list[tuple[int, Exception]] = []

    def decode(images: Sequence[Any]) -> list[NDArray[np.uint8] | Exception]:
        return [_decode(image, image_size, channels) for image in images]

    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as threads:
        for start in range(0, len(rows), workers * _BLOCK):
            # A block to a thread: one small image would cost less than to hand it over.
            part = rows[start : start + workers * _BLOCK].tolist()
            blocks = [split.images[part[begin : begin + _BLOCK]] for begin in range(0, len(part), _BLOCK)]
            for row, pixels in zip(part, chain.from_iterable(threads.map(decode, blocks)), strict=True):
                if isinstance(pixels, Exception):
                    faults.append((row, pixels))
                elif not faults:
                    yield pixels
    if faults:
        raise InputError(_unusable(faults, split)) from faults[0][1]


def check_images(split: Split, rows: NDArray[np.int64], image_size: int, channels: int) -> None:
    """Decode the images of these rows; arrays of pixels need no decoding.

    Raises:
        InputError: as `decoded_in_order`.
    """
    if not isinstance(split.images, np.ndarray):
        for _ in decoded_in_order(split, rows, image_size, channels):
            pass


def _decode(image: Any, image_size: int, channels: int) -> NDArray[np.uint8] | Exception:
    try:
        # A copy, since the array may be a view of Pillow's read-only buffer.
        return decode_image(image, image_size, channels).copy()
    except Exception as error:  # A damaged file can raise nearly anything in Pillow's decoders.
        return error


def _unusable(faults: list[tuple[int, Exception]], split: Split) -> str:
    (first, error), others = faults[0], faults[1:]
    said = f"{split.place(first)}: the image cannot be used: {error}"
    if not others:
        return said
    named = ", ".join(split.place(row) for row, _ in others[: _NAMED - 1])
    more = f" and {len(others) - _NAMED + 1:,} more" if len(others) >= _NAMED else ""
    return f"{said}; {len(faults):,} in all cannot be used, also {named}{more}"
