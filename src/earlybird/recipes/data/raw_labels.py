"""Labels as they lie in a file -> class numbers."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earlybird.errors import InputError
from earlybird.recipes.data.split import row_name


@dataclass(frozen=True)
class RawLabels:
    """A split's labels: strings, integers or floats; `names` where the source names its classes.

    `where` names the split in error messages, and `lines` its rows, see `earlybird.recipes.data.split.row_name`.
    """

    values: Sequence[Any]
    names: tuple[str, ...] | None
    where: str
    lines: Sequence[int | str] = ()

    def place(self, row: int) -> str:
        """Where a row lies, for error messages."""
        return f"{self.where}, {row_name(row, self.lines)}"


def class_numbers(labels: RawLabels, hint: str = "") -> tuple[NDArray[np.int64], tuple[str, ...] | None]:
    """Class numbers of a split, and the names that they index: None where the labels are integers themselves.

    Strings that all write integers, without leading zeros, are integers; other strings name the classes, in
    alphabetical order.

    Args:
        labels: of the split.
        hint: what to say of labels that are no classes.

    Raises:
        InputError: labels are missing, are neither integers nor strings, or some of the strings are integers
            and some are not.
    """
    for row, label in enumerate(labels.values):
        if not isinstance(label, (int, str)) or label == "":
            raise InputError(
                f"{labels.place(row)}: the label {label!r} is neither an integer nor the name of a class{hint}"
            )
    integers = [_integer(label) for label in labels.values]
    for row, number in enumerate(integers):
        if number is not None and abs(number) >= 1 << 63:
            raise InputError(f"{labels.place(row)}: the label {reprlib.repr(number)} is beyond 64 bits")
    odd = next((row for row, number in enumerate(integers) if number is None), None)
    if odd is None and not any(_has_leading_zeros(label) for label in labels.values):
        return np.array(integers, dtype=np.int64), labels.names
    even = next((row for row, number in enumerate(integers) if number is not None), None)
    if odd is not None and even is not None:
        raise InputError(
            f"{labels.where}: the labels are not consistent: {row_name(even, labels.lines)} holds the integer"
            f" {labels.values[even]!r}, {row_name(odd, labels.lines)} holds {labels.values[odd]!r}; use"
            " integers, or names for all classes"
        )
    if odd is not None and all(finite_number(label) is not None for label in labels.values):
        raise InputError(f"{labels.place(odd)}: the label {labels.values[odd]!r} is a number, but no integer{hint}")
    names, numbers = np.unique(np.array([str(label) for label in labels.values], dtype=object), return_inverse=True)
    return numbers.astype(np.int64), tuple(names)


def finite_number(label: Any) -> float | None:
    """Return a label as a number, None where it is none."""
    if not isinstance(label, (int, float, str)):
        return None
    try:
        value = float(label)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _integer(label: int | str) -> int | None:
    try:
        return int(label)
    except ValueError:
        return None


def _has_leading_zeros(label: int | str) -> bool:
    return isinstance(label, str) and len(label.strip()) > 1 and label.strip().startswith("0")
