"""The image and label columns of a Hugging Face `Dataset`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from earlybird.errors import InputError
from earlybird.recipes.data.settings import DEFAULT_LABEL_COLUMN, ImageDataSettings
from earlybird.recipes.data.split import Split
from earlybird.recipes.data.table import Table

LABEL_NAMES = ("label", "labels", "fine_label")


@dataclass(frozen=True)
class EncodedImages:
    """Images by row out of memory-mapped Arrow, undecoded: `{"bytes", "path"}`, either may be `None`."""

    rows: datasets.Dataset
    column: str

    def __getitem__(self, row: int | list[int], /) -> Any:
        """Return the encoded image of a row, or those of several rows."""
        return self.rows[row][self.column]


def split_of_table(table: Table, settings: ImageDataSettings) -> Split:
    """Return the split that a table holds.

    The configured columns are taken. Where there is no such column of images, the only one with images is; where no
    column of labels was named, the only one called "label", "labels" or "fine_label" is.

    Raises:
        InputError: there is no such column, or not exactly one, or it holds something else.
    """
    rows, where = table.rows, table.where
    image_like = [name for name, feature in rows.features.items() if _is_image(feature)]
    image = _choose(rows, "image_column", settings.image_column, image_like, where)
    if image not in image_like:
        raise InputError(
            f"column {image!r} of {where} holds {rows.features[image]}, expected images "
            f"(an Image feature, or a struct of bytes and path): set data.image_column{_listed(rows)}"
        )
    wanted = settings.label_column or DEFAULT_LABEL_COLUMN
    candidates = [name for name in LABEL_NAMES if name in rows.features] if wanted == DEFAULT_LABEL_COLUMN else []
    label = _choose(rows, "label_column", wanted, candidates, where)
    labels, names = _class_numbers(table, label)
    encoded = rows.select_columns([image]).cast_column(image, datasets.Image(decode=False))
    numbered = isinstance(rows.features[label], datasets.ClassLabel)
    return Split(labels, names, where, EncodedImages(encoded, image), table.parts, numbered=numbered)


def _is_image(feature: Any) -> bool:
    return isinstance(feature, datasets.Image) or (isinstance(feature, dict) and "bytes" in feature)


def _choose(rows: datasets.Dataset, setting: str, wanted: str, candidates: list[str], where: str) -> str:
    if wanted in rows.features:
        return wanted
    if len(candidates) == 1:
        return candidates[0]
    raise InputError(f"{where} has no column {wanted!r}: set data.{setting}{_listed(rows)}")


def _listed(rows: datasets.Dataset) -> str:
    return f" to one of its columns {', '.join(rows.column_names)}"


def _class_numbers(table: Table, column: str) -> tuple[NDArray[np.int64], tuple[str, ...] | None]:
    rows, where = table.rows, table.where
    values = rows.select_columns([column]).with_format("arrow")[:].column(column)
    if values.null_count:
        row = values.is_null().index(True).as_py()
        raise InputError(f"{where}, row {row}: {column!r} is missing: every image needs a label")
    feature = rows.features[column]
    kind = str(values.type)
    if kind in ("string", "large_string"):
        classes, numbers = np.unique(np.asarray(table.columns([column])[column], dtype=object), return_inverse=True)
        return numbers.astype(np.int64), tuple(classes)
    if not kind.startswith(("int", "uint")):
        raise InputError(
            f"column {column!r} of {where} holds {kind}, expected integers or class names: "
            f"set data.label_column{_listed(rows)}"
        )
    names = tuple(feature.names) if isinstance(feature, datasets.ClassLabel) else None
    return values.to_numpy().astype(np.int64), names
