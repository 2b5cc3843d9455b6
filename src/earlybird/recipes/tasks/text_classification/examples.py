"""Texts with labels, from a hub name, Parquet or text files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from earlybird.errors import InputError
from earlybird.recipes.data.classes import check_several_classes, share_classes
from earlybird.recipes.data.directory import source_directory
from earlybird.recipes.data.limit import limited, under_limit
from earlybird.recipes.data.raw_labels import RawLabels, class_numbers
from earlybird.recipes.data.split import Labels, row_name
from earlybird.recipes.data.table import Table
from earlybird.recipes.data.text_files import ENDINGS, Records, read_delimited, read_json_lines, split_file
from earlybird.recipes.tasks.text_classification.settings import TextDataSettings
from earlybird.recipes.tasks.text_classification.values import check_several_values, numbers


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
    """Training and evaluation texts under the limits; `found` counts both before any limit.

    `classes` are the names of the classes, () for values.
    """

    train: Texts
    evaluation: Texts
    classes: tuple[str, ...]
    found: tuple[int, int]


def read_texts(settings: TextDataSettings, *, regression: bool) -> TextData:
    """Read both splits of a source.

    Args:
        settings: where the texts are, in which columns.
        regression: the labels are values, not classes.

    Raises:
        InputError: data are missing or malformed, or under the limits there is nothing to learn or to judge; the
            message names the place and what was expected there.
    """
    (train, train_labels), (evaluation, evaluation_labels) = _read_splits(settings)
    classes: tuple[str, ...] = ()
    if regression:
        train, evaluation = (
            replace(texts, labels=numbers(labels))
            for texts, labels in ((train, train_labels), (evaluation, evaluation_labels))
        )
    else:
        first, second, classes = share_classes(_labels(train_labels), _labels(evaluation_labels))
        train, evaluation = replace(train, labels=first.labels), replace(evaluation, labels=second.labels)
    data = TextData(
        train.limited(settings.train_limit),
        evaluation.limited(settings.eval_limit),
        classes,
        (len(train), len(evaluation)),
    )
    where = under_limit(train_labels.where, len(train), "train_limit", settings.train_limit)
    if regression:
        check_several_values(data.train.labels, where, least=2)
        where = under_limit(evaluation_labels.where, len(evaluation), "eval_limit", settings.eval_limit)
        check_several_values(data.evaluation.labels, where, least=3)
    else:
        check_several_classes(data.train.labels, classes, where)
    return data


def _labels(raw: RawLabels) -> Labels:
    labels, names = class_numbers(raw, "; for values to be predicted choose metric=pearson or metric=spearman")
    return Labels(labels, names, raw.where, numbered=raw.names is not None, lines=raw.lines)


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
        records = read_json_lines(path, wanted)
    else:
        records = read_delimited(path, "tsv" if settings.format == "tsv" else "csv", wanted, settings.columns)
    return _split(records, None, settings, str(path))


def _of_table(table: Table, settings: TextDataSettings) -> tuple[Texts, RawLabels]:
    rows, wanted = table.rows, _wanted(settings)
    for name in wanted:
        if name not in rows.features:
            raise InputError(f"{table.where} has no column {name!r}: it has {', '.join(rows.column_names)}")
    feature = rows.features[settings.label_column]
    names = tuple(feature.names) if isinstance(feature, datasets.ClassLabel) else None
    return _split(Records(table.columns(wanted), []), names, settings, table.where)


def _wanted(settings: TextDataSettings) -> list[str]:
    second = [] if settings.second_text_column is None else [settings.second_text_column]
    return [settings.text_column, *second, settings.label_column]


def _split(
    records: Records, names: tuple[str, ...] | None, settings: TextDataSettings, where: str
) -> tuple[Texts, RawLabels]:
    second, columns = settings.second_text_column, records.columns
    labels = columns[settings.label_column]
    if not labels:
        raise InputError(f"{where} is empty: expected at least one example")
    for name in (settings.text_column, second):
        for row, text in enumerate(columns[name] if name is not None else []):
            if not isinstance(text, str):
                raise InputError(f"{where}, {row_name(row, records.lines)}: {name!r} holds {text!r}, expected a text")
    texts = Texts(columns[settings.text_column], None if second is None else columns[second], np.empty(0))
    return texts, RawLabels(labels, names, where, records.lines)
