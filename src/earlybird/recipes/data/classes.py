"""One class numbering for both splits of a source."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from earlybird.errors import InputError
from earlybird.recipes.data.split import Labels

_NAMED = 10  # classes that a note names
_Split = TypeVar("_Split", bound=Labels)


def share_classes(train: _Split, evaluation: _Split) -> tuple[_Split, _Split, tuple[str, ...]]:
    """Return both splits with labels that index the same names, and those names.

    The training split's names decide. A source without names gets "0", "1", ... up to its largest label.

    Raises:
        InputError: a split is empty, a label is negative or beyond the classes, an evaluation example has a class
            that no training example can have, one split has numbers and the other names without numbers, or the
            training split holds one class alone.
    """
    for split in (train, evaluation):
        _check_labels(split)
    for named, other in ((train, evaluation), (evaluation, train)):
        if named.names is not None and not named.numbered and other.names is None:
            raise InputError(
                f"{train.where} and {evaluation.where} do not label alike: {named.where} has names of classes, "
                f"{other.where} has integers; use integers in both, or names in both"
            )
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
    train, evaluation = _renumber(train, names), _renumber(evaluation, names)
    check_several_classes(train.labels, names, train.where)
    return train, evaluation, names


def check_several_classes(labels: NDArray[np.int64], names: tuple[str, ...], where: str) -> None:
    """Raise InputError if training examples are all of one class: any network is right about all of them.

    Args:
        labels: of the training examples, at least one.
        names: of the classes.
        where: what to call the examples.
    """
    if (labels == labels[0]).all():
        raise InputError(
            f"{where} holds the one class {names[labels[0]]!r}: there is nothing to tell apart, expected two or more"
        )


def class_notes(train: NDArray[np.int64], evaluation: NDArray[np.int64], names: tuple[str, ...]) -> tuple[str, ...]:
    """Sentences on classes that a network cannot learn, or is not judged by.

    Args:
        train: labels of the training examples.
        evaluation: labels of the evaluation examples, at least one.
        names: of the classes.
    """
    learnt, judged = (np.bincount(labels, minlength=len(names)) > 0 for labels in (train, evaluation))
    notes = []
    one = judged.sum() == 1
    for classes, said in (
        (learnt & ~judged & ~one, "in training alone, no evaluation example judges it"),
        (~learnt & judged, "in evaluation alone, no training example shows it"),
        (~learnt & ~judged, "in no training and no evaluation example"),
    ):
        if classes.any():
            notes.append(f"{_listed([names[number] for number in np.flatnonzero(classes)])} {said}")
    if one:
        notes.append(f"all evaluation examples are of the class {names[evaluation[0]]!r}: the others are not judged")
    return tuple(notes)


def _listed(names: list[str]) -> str:
    if len(names) == 1:
        return f"the class {names[0]!r} occurs"
    shown = ", ".join(repr(name) for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"{len(names):,} classes ({shown}{more}) occur"


def _check_labels(split: Labels) -> None:
    if not len(split.labels):
        raise InputError(f"{split.where} is empty: expected at least one example")
    negative = np.flatnonzero(split.labels < 0)
    if len(negative):
        row = int(negative[0])
        raise InputError(
            f"{split.place(row)}: label {split.labels[row]} is negative, as where labels are withheld: "
            "labels must count the classes from 0, choose a labelled split"
        )


def _renumber(split: _Split, names: tuple[str, ...]) -> _Split:
    # A folder or a file of strings names only the classes it holds: equal numbers can mean different classes.
    own = split.names or names
    beyond = np.flatnonzero(split.labels >= len(own))
    if len(beyond):
        row = int(beyond[0])
        raise InputError(f"{split.place(row)}: label {split.labels[row]} is beyond the {len(own)} named classes")
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
