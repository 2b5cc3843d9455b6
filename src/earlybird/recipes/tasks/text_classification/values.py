"""Labels as they lie in a file -> values to be predicted."""

from __future__ import annotations

import math
import reprlib

import numpy as np
from numpy.typing import NDArray

from earlybird.errors import InputError
from earlybird.recipes.data.raw_labels import RawLabels, finite_number


def numbers(labels: RawLabels) -> NDArray[np.float32]:
    """The values of a split to be predicted.

    Raises:
        InputError: one of them is not a finite number in float32.
    """
    found = [finite_number(label) for label in labels.values]
    with np.errstate(over="ignore"):
        values = np.array([math.nan if value is None else value for value in found]).astype(np.float32)
    odd = np.flatnonzero(~np.isfinite(values))
    if len(odd):
        row = int(odd[0])
        raise InputError(
            f"{labels.place(row)}: the label {reprlib.repr(labels.values[row])} is not a finite number in float32; for"
            " classes choose metric=accuracy, f1 or matthews_correlation"
        )
    return values


def check_several_values(values: NDArray[np.float32], where: str, *, least: int) -> None:
    """Raise InputError if there are fewer examples than `least`, or their values are all the same.

    No correlation is defined of equal values, and that of two examples is 1 or -1 whatever is predicted.
    """
    if len(values) < least:
        raise InputError(f"{where} holds {len(values)} examples: a correlation needs {least} or more")
    if (values == values[0]).all():
        raise InputError(
            f"{where}: all labels are {values[0]} in float32: there is nothing to predict, expected two values or more"
        )
