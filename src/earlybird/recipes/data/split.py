"""One split as it lies in its source: labels as integers, images still encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class RawImages(Protocol):
    """Images by row, as `pixels.decode_image` takes them."""

    def __getitem__(self, row: int, /) -> Any:
        """Return the row's `{"bytes", "path"}` of an encoded file or its (height, width) uint8 array."""


@dataclass(frozen=True)
class Labels:
    """The classes of one split of a source.

    `labels` holds one int64 per row, an index into `names` where the source names its classes. `where` names
    the split in error messages.
    """

    labels: NDArray[np.int64]
    names: tuple[str, ...] | None
    where: str


@dataclass(frozen=True)
class Split(Labels):
    """One split of images."""

    images: RawImages
