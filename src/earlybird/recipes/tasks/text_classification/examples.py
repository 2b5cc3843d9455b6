"""Texts with labels, from a hub name, Parquet or text files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from earlybird.errors import InputError
from earlybird.recipes.data.classes import share_classes
from earlybird.recipes.data.directory import source_directory
from earlybird.recipes.data.limit import limited
from earlybird.recipes.data.split import Labels
from earlybird.recipes.data.table import Table
from earlybird.recipes.data.text_files import ENDINGS, read_delimited, read_json_lines, split_file
from earlybird.recipes.tasks.text_classification.labels import RawLabels, class_numbers, numbers
from earlybird.recipes.tasks.text_classification.settings import TextDataSettings


@dataclass(frozen=True)
class Texts:
    """Texts, or pairs of texts, with their labels: int64 class numbers or float32 values."""

    texts: list[str]
    seconds: list[str] | None
    labels: NDArray[Any]

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.texts)

    def __getitem__(self, index: int) -> tuple[str, str | None, int | float]:
        """Return text, second text or None, label."""
        return self.texts[index], None if self.seconds is None else self.seconds[index], self.labels[index].item()

    def limited(self, limit: int | None) -> Texts:
        """So many of them, see `earlybird.recipes.data.limit`."""
        rows = limited(len(self), limit)
        seconds = None if self.seconds is None else [self.seconds[row] for row in rows]
        return Texts([self.texts[row] for row in rows], seconds, self.labels[rows])


@dataclass(frozen=True)
class TextData:
    """Training and evaluation texts before any limit; `classes` are the names of the classes, () for values."""

    train: Texts
    evaluation: Texts
    classes: tuple[str, ...]


def read_texts(settings: TextDataSettings, *, regression: bool) -> TextData:
    """Read both splits of a source.

    Args:
        settings: where the texts are, in which columns.
        regression: the labels are values, not classes.

    Raises:
        InputError: data are missing or malformed; the message names the place and what was expected there.
    """
    (train, train_labels), (evaluation, evaluation_labels) = _read_splits(settings)
    if regression:
        return TextData(
            replace(train, labels=numbers(train_labels)), replace(evaluation, labels=numbers(evaluation_labels)), ()
        )
    first, second = (Labels(*class_numbers(labels), labels.where) for labels in (train_labels, evaluation_labels))
    if (first.names is None) != (second.names is None):
        raise InputError(
            f"{first.where} and {second.where} do not label alike: one has integers, the other names of classes"
        )
    first, second, classes = share_classes(first, second)
    return TextData(replace(train, labels=first.labels), replace(evaluation, labels=second.labels), classes)


def _read_splits(settings: TextDataSettings) -> list[tuple[Texts, RawLabels]]:
    splits = (settings.train_split, settings.eval_split)
    if settings.format == "hub":
        from earlybird.recipes.data.hub import read_hub

        return [_of_table(table, settings) for table in read_hub(settings)]
    if settings.format == "parquet":
        from earlybird.recipes.data.parquet import read_parquet

        return [_of_table(table, settings) for table in read_parquet(settings)]
    endings = ENDINGS[settings.format]
    directory = source_directory(settings, " and ".join(f"{split}{endings[0]}" for split in splits))
    return [_of_file(settings, split_file(directory, split, endings)) for split in splits]


def _of_file(settings: TextDataSettings, path: Any) -> tuple[Texts, RawLabels]:
    wanted = _wanted(settings)
    if settings.format == "json-lines":
        columns = read_json_lines(path, wanted)
    else:
        columns = read_delimited(path, "tsv" if settings.format == "tsv" else "csv", wanted, settings.columns)
    return _split(columns, None, settings, str(path))


def _of_table(table: Table, settings: TextDataSettings) -> tuple[Texts, RawLabels]:
    rows, wanted = table.rows, _wanted(settings)
    for name in wanted:
        if name not in rows.features:
            raise InputError(f"{table.where} has no column {name!r}: it has {', '.join(rows.column_names)}")
    feature = rows.features[settings.label_column]
    names = tuple(feature.names) if isinstance(feature, datasets.ClassLabel) else None
    return _split(table.columns(wanted), names, settings, table.where)


def _wanted(settings: TextDataSettings) -> list[str]:
    second = [] if settings.second_text_column is None else [settings.second_text_column]
    return [settings.text_column, *second, settings.label_column]


def _split(
    columns: dict[str, list[Any]], names: tuple[str, ...] | None, settings: TextDataSettings, where: str
) -> tuple[Texts, RawLabels]:
    second = settings.second_text_column
    labels = columns[settings.label_column]
    if not labels:
        raise InputError(f"{where} is empty: expected at least one example")
    for name in (settings.text_column, second):
        for row, text in enumerate(columns[name] if name is not None else []):
            if not isinstance(text, str):
                raise InputError(f"{where}, row {row}: {name!r} holds {text!r}, expected a text")
    texts = Texts(columns[settings.text_column], None if second is None else columns[second], np.empty(0))
    return texts, RawLabels(labels, names, where)
