"""Labels as they lie in a file -> class numbers or values."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earlybird.errors import InputError


@dataclass(frozen=True)
class RawLabels:
    """A split's labels: strings, integers or floats; `names` where the source names its classes.

    `where` names the split in error messages.
    """

    values: Sequence[Any]
    names: tuple[str, ...] | None
    where: str


def class_numbers(labels: RawLabels) -> tuple[NDArray[np.int64], tuple[str, ...] | None]:
    """Class numbers of a split, and the names that they index: None where the labels are integers themselves.

    Strings that all write integers are integers; other strings name the classes, in alphabetical order.

    Raises:
        InputError: labels are missing, are neither integers nor strings, or some of the strings are integers
            and some are not.
    """
    for row, label in enumerate(labels.values):
        if not isinstance(label, (int, str)) or label == "":
            raise InputError(
                f"{labels.where}, row {row}: the label {label!r} is neither an integer nor the name of a class;"
                " for values to be predicted choose metric=pearson or metric=spearman"
            )
    integers = [_integer(label) for label in labels.values]
    for row, number in enumerate(integers):
        if number is not None and abs(number) >= 1 << 63:
            raise InputError(f"{labels.where}, row {row}: the label {reprlib.repr(number)} is beyond 64 bits")
    odd = next((row for row, number in enumerate(integers) if number is None), None)
    if odd is None:
        return np.array(integers, dtype=np.int64), labels.names
    even = next((row for row, number in enumerate(integers) if number is not None), None)
    if even is not None:
        raise InputError(
            f"{labels.where}: the labels are not consistent: row {even} holds the integer {labels.values[even]!r},"
            f" row {odd} holds {labels.values[odd]!r}; use integers, or names for all classes"
        )
    if all(_number(label) is not None for label in labels.values):
        raise InputError(
            f"{labels.where}, row {odd}: the label {labels.values[odd]!r} is a number, but no integer; for values to"
            " be predicted choose metric=pearson or metric=spearman"
        )
    names, numbers = np.unique(np.asarray(labels.values, dtype=object), return_inverse=True)
    return numbers.astype(np.int64), tuple(names)


def numbers(labels: RawLabels) -> NDArray[np.float32]:
    """The values of a split to be predicted.

    Raises:
        InputError: one of them is not a finite number, or all are the same, so that no correlation is defined.
    """
    values = [_number(label) for label in labels.values]
    for row, value in enumerate(values):
        if value is None:
            raise InputError(
                f"{labels.where}, row {row}: the label {reprlib.repr(labels.values[row])} is not a finite number; for"
                " classes choose metric=accuracy, f1 or matthews_correlation"
            )
    if len(set(values)) == 1:
        raise InputError(
            f"{labels.where}: all labels are {labels.values[0]!r}: there is nothing to predict, expected two values or"
            " more"
        )
    return np.array(values, dtype=np.float32)


def _integer(label: int | str) -> int | None:
    try:
        return int(label)
    except ValueError:
        return None


def _number(label: Any) -> float | None:
    if not isinstance(label, (int, float, str)):
        return None
    try:
        value = float(label)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None
