"""One class numbering for both splits of a source."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from earlybird.errors import InputError
from earlybird.recipes.data.split import Labels

_Split = TypeVar("_Split", bound=Labels)


def share_classes(train: _Split, evaluation: _Split) -> tuple[_Split, _Split, tuple[str, ...]]:
    """Return both splits with labels that index the same names, and those names.

    The training split's names decide. A source without names gets "0", "1", ... up to its largest label.

    Raises:
        InputError: a split is empty, a label is negative or beyond the classes, or an evaluation example has a
            class that no training example can have.
    """
    for split in (train, evaluation):
        _check_labels(split)
    names = train.names or evaluation.names
    if names is None:
        largest = int(max(train.labels.max(), evaluation.labels.max()))
        examples = len(train.labels) + len(evaluation.labels)
        if largest >= examples:
            raise InputError(
                f"{train.where} and the evaluation split hold {examples} examples and a label {largest}: "
                "labels must count the classes from 0, name another data.label_column"
            )
        names = tuple(str(label) for label in range(largest + 1))
    return _renumber(train, names), _renumber(evaluation, names), names


def _check_labels(split: Labels) -> None:
    if not len(split.labels):
        raise InputError(f"{split.where} is empty: expected at least one example")
    negative = np.flatnonzero(split.labels < 0)
    if len(negative):
        row = int(negative[0])
        raise InputError(
            f"{split.where}, row {row}: label {split.labels[row]} is negative, as where labels are withheld: "
            "labels must count the classes from 0, choose a labelled split"
        )


def _renumber(split: _Split, names: tuple[str, ...]) -> _Split:
    # A folder or a file of strings names only the classes it holds: equal numbers can mean different classes.
    own = split.names or names
    beyond = np.flatnonzero(split.labels >= len(own))
    if len(beyond):
        row = int(beyond[0])
        raise InputError(f"{split.where}, row {row}: label {split.labels[row]} is beyond the {len(own)} named classes")
    index = {name: number for number, name in enumerate(names)}
    numbers = np.array([index.get(name, -1) for name in own], dtype=np.int64)
    labels = numbers[split.labels]
    unknown = np.flatnonzero(labels < 0)
    if len(unknown):
        name = own[split.labels[unknown[0]]]
        raise InputError(
            f"{split.where} holds the class {name!r}, the training split does not: "
            f"expected only {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
        )
    return replace(split, labels=labels, names=names)
