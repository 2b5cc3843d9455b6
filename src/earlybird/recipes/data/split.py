"""One split as it lies in its source: labels as integers, images still encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class RawImages(Protocol):
    """Images by row, as `pixels.decode_image` takes them."""

    def __getitem__(self, row: Any, /) -> Any:
        """Return the row's `{"bytes", "path"}` of an encoded file or its (height, width) uint8 array.

        For a list of rows, a sequence of these.
        """


@dataclass(frozen=True)
class ImageFiles:
    """Images by row, a file each."""

    paths: tuple[str, ...]

    def __getitem__(self, row: int | list[int], /) -> Any:
        """Return the path of a row's image, as `pixels.decode_image` takes it, or those of several rows."""
        return [self[one] for one in row] if isinstance(row, list) else {"bytes": None, "path": self.paths[row]}


def row_name(row: int, lines: Sequence[int | str] = ()) -> str:
    """What to call a row in error messages.

    By the number of its line in a text file, or its name in `lines`; by its own number, from 0, where these are ().
    """
    line = lines[row] if lines else f"row {row}"
    return line if isinstance(line, str) else f"line {line}"


@dataclass(frozen=True)
class Labels:
    """The classes of one split of a source.

    `labels` holds one int64 per row, an index into `names` where the source names its classes. `where` names
    the split in error messages, and `lines` its rows, see `row_name`. `numbered` says that the source itself numbers
    the names, as a `ClassLabel` does; otherwise the names are those found among the examples, in alphabetical order.
    """

    labels: NDArray[np.int64]
    names: tuple[str, ...] | None
    where: str
    numbered: bool = field(default=False, kw_only=True)
    lines: Sequence[int | str] = field(default=(), kw_only=True)

    def place(self, row: int) -> str:
        """Where a row lies, for error messages."""
        return f"{self.where}, {row_name(row, self.lines)}"


@dataclass(frozen=True)
class Split(Labels):
    """One split of images.

    `parts` names the files that the rows lie in, each with its number of rows, in order; () where a row is a file,
    or its file is not known. `notes` says what of the source was not read.
    """

    images: RawImages
    parts: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()

    def place(self, row: int) -> str:
        """Where the image of a row lies, for error messages: its own file, or else the file and row that hold it."""
        image = self.images[row]
        path = image["path"] if isinstance(image, dict) else None
        if isinstance(self.images, ImageFiles):
            return str(path)
        where, place = self.where, row
        for name, rows in self.parts:
            if place < rows:
                where = f"{where}, {name}"
                break
            place -= rows
        else:
            place = row
        return f"{where}, row {place}" + ("" if path is None else f" ({path})")
