"""Printed letters and digits as small images, drawn anew: the fonts that come with matplotlib, distorted at random.

They are made as scikit-learn's handwritten digits were: a black and white image of 32 x 32 pixels, of which every 4 x 4
are counted, so that values lie between 0 and 16.
"""

from __future__ import annotations

import string
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, map_coordinates

CHARACTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Oblique", "DejaVuSansMono-Bold"),
    *("DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSerif-Bold", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralItalic", "STIXGeneralBol", "STIXGeneralBolIta"),
    *("cmr10", "cmss10", "cmti10", "cmtt10", "cmb10", "cmmi10"),
)
LARGEST = 16
_LARGE, _FINE, _SMALL = 96, 32, 8  # pixels: as drawn, as distorted, as counted


def rendered(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """So many images (count, 8, 8), values from 0 to 16, and which of `CHARACTERS` each shows (count,)."""
    generator = np.random.default_rng(seed)
    images = np.empty((count, _SMALL, _SMALL), np.uint8)
    labels = generator.integers(len(CHARACTERS), size=count)
    for image, label in zip(images, labels, strict=True):
        font = FONTS[generator.integers(len(FONTS))]
        image[:] = _distorted(_drawn(font, CHARACTERS[label]), generator)
    return images, labels


@cache
def _drawn(font: str, character: str) -> Image.Image:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"
    image = Image.new("L", (_LARGE, _LARGE), 0)
    place = (_LARGE / 2, _LARGE / 2)
    ImageDraw.Draw(image).text(place, character, font=ImageFont.truetype(str(path), 72), fill=255, anchor="mm")
    return image


def _distorted(drawn: Image.Image, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Scaled to the whole height, stretched, turned, slanted, bent, and drawn with a thinner or thicker pen."""
    rows, columns = np.nonzero(np.asarray(drawn) > 64)
    height, width = max(np.ptp(rows), 1), max(np.ptp(columns), 1)
    down = height / (_FINE * generator.uniform(0.85, 1.05))
    across = max(width / _FINE, down * generator.uniform(0.7, 1.4))
    turn, slant = generator.normal(0, 0.17), generator.normal(0, 0.25)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = turned @ np.array([[1, slant], [0, 1]]) @ np.diag([across, down])
    middle = np.array([columns.min() + columns.max(), rows.min() + rows.max()]) / 2
    start = middle - matrix @ (_FINE / 2 + generator.normal(0, 1.0, 2))
    affine = (*matrix[0], start[0], *matrix[1], start[1])
    image = drawn.transform((_FINE, _FINE), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    bend = np.stack([gaussian_filter(generator.normal(size=(_FINE, _FINE)), 4) for _ in range(2)])
    bend *= generator.uniform(0, 2.5) / np.abs(bend).max()
    bent = map_coordinates(np.asarray(image) / 255, np.mgrid[:_FINE, :_FINE] + bend, order=1)
    black = gaussian_filter(bent, generator.uniform(0.5, 1.5)) > generator.uniform(0.2, 0.5)
    side = _FINE // _SMALL
    return black.reshape(_SMALL, side, _SMALL, side).sum((1, 3)).astype(np.uint8)
