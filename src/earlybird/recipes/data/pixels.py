"""From one encoded image to pixels of one size."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

MODES = {1: "L", 3: "RGB"}  # Pillow's name of the pixel format, by number of channels.


def decode_image(image: Any, image_size: int, channels: int) -> NDArray[np.uint8]:
    """Return an image's pixels, uint8 of shape (channels, image_size, image_size).

    `image` is a (height, width) uint8 array, or `{"bytes": encoded file or None, "path": file}`. An image of
    another size is cut to its centred square, which bicubic resampling brings to `image_size` pixels.

    Raises:
        ValueError: the image has more than 8 bits per channel, is in no format that Pillow reads, or has neither bytes
            nor a path.
        Exception: whatever Pillow's decoders raise for a damaged file.
    """
    picture = _open(image)
    if picture.mode.startswith(("I", "F")):
        # Pillow would clip 16-bit values to 255 without a word.
        raise ValueError(f"it has more than 8 bits per channel (mode {picture.mode}), convert it to 8 bits")
    picture = ImageOps.exif_transpose(picture).convert(MODES[channels])
    if picture.size != (image_size, image_size):
        width, height = picture.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        picture = picture.resize(
            (image_size, image_size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
        )
    pixels = np.asarray(picture).reshape(image_size, image_size, channels)
    return pixels.transpose(2, 0, 1)


def _open(image: Any) -> Image.Image:
    if isinstance(image, np.ndarray):
        return Image.fromarray(image)
    if image is None or (image["bytes"] is None and image["path"] is None):
        raise ValueError("it has neither bytes nor a path")
    try:
        return Image.open(image["path"] if image["bytes"] is None else io.BytesIO(image["bytes"]))
    except UnidentifiedImageError as error:
        # Pillow would name an object in memory.
        raise ValueError("Pillow cannot identify its format") from error
