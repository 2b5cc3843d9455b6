"""The study's recordings: coefficients in .npy files, layers x steps x units."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earlybird.errors import InputError
from earlybird.vocabulary import Kind

# As EarlyBERT's published code and the study's notebooks named them.
NAMES: Mapping[Kind, tuple[str, ...]] = {
    "heads": ("self_slimming_coef_records.npy", "msa_slimming_coefs.npy"),
    "neurons": ("inter_slimming_coef_records.npy", "mlp_slimming_coefs.npy"),
}

Location = str | os.PathLike[str]


def recordings(directory: Location | None, heads: Location | None, neurons: Location | None) -> dict[Kind, Path]:
    """The recordings found, one file per kind.

    Raises:
        InputError: nothing was given or found, or a directory holds two recordings of one kind.
    """
    paths: dict[Kind, Path] = {}
    if directory is not None:
        if not Path(directory).is_dir():
            raise InputError(f"{directory} is no directory; give one that holds the recordings, or heads= and neurons=")
        for kind, names in NAMES.items():
            found = [Path(directory) / name for name in names if (Path(directory) / name).is_file()]
            if len(found) > 1:
                raise InputError(f"{directory} holds {len(found)} recordings of {kind}: {names[0]} and {names[1]}")
            if found:
                paths[kind] = found[0]
    given: dict[Kind, Location | None] = {"heads": heads, "neurons": neurons}
    paths |= {kind: Path(path) for kind, path in given.items() if path is not None}
    if not paths:
        known = ", ".join(name for names in NAMES.values() for name in names)
        raise InputError(f"no recording in {directory or 'no directory'}: expected one of {known}, or heads=, neurons=")
    return paths


def recording(path: Path) -> NDArray[np.floating]:
    """One recording, mapped from its file, (steps, layers, units); pickled objects are not read.

    Raises:
        InputError: the file is not a .npy file of three-dimensional floating-point numbers.
    """
    expected = f"{path} must be a .npy file of (layers, steps, units) floating-point numbers"
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError as error:
        raise InputError(f"{expected}; there is no such file") from error
    except Exception as error:  # a damaged header makes numpy raise nearly anything
        raise InputError(f"{expected}, without pickled objects; it cannot be read as one: {error}") from error
    if array.ndim != 3 or array.dtype.kind != "f" or 0 in array.shape:
        raise InputError(f"{expected}, got shape {array.shape} of {array.dtype}")
    return np.moveaxis(array, 0, 1)
