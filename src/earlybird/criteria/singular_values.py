"""Singular values of many masks, by the Gram matrix of their shorter side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Above so many bytes, pairs of rows are counted some rows at a time.
_ALL_AT_ONCE = 1 << 16
_ROWS_AT_ONCE = 8


def singular_values(matrices: NDArray[np.bool_] | NDArray[np.floating]) -> NDArray[np.float64]:
    """Singular values of each matrix, ascending; (..., layers, units) -> (..., min(layers, units)).

    Computed from the eigenvalues of the Gram matrix of the shorter side, ten times cheaper than by decomposing a
    wide matrix.
    """
    rows = np.asarray(matrices)
    if rows.shape[-1] < rows.shape[-2]:
        rows = rows.swapaxes(-1, -2)
    if rows.dtype == np.bool_:
        gram = common_units(rows).astype(np.float64)
    else:
        rows = rows.astype(np.float64)
        gram = rows @ rows.swapaxes(-1, -2)
    eigenvalues = np.linalg.eigvalsh(gram)
    # A rank-deficient matrix has exact zeros here, which come out as rounding noise whose root is not small.
    noise = rows.shape[-2] * np.finfo(np.float64).eps * eigenvalues[..., -1:]
    eigenvalues[eigenvalues <= noise] = 0.0
    return np.asarray(np.sqrt(eigenvalues))


def common_units(masks: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """How many units each two rows both keep, the Gram matrix; (..., rows, units) -> (..., rows, rows)."""
    *leading, rows, units = masks.shape
    words = np.zeros((*leading, rows, -(-units // 64)), dtype=np.uint64)
    words.view(np.uint8)[..., : -(-units // 8)] = np.packbits(masks, axis=-1)
    gram = np.empty((*leading, rows, rows), dtype=np.uint32)
    size = max(1, rows) if rows * words.nbytes <= _ALL_AT_ONCE else _ROWS_AT_ONCE
    # Some rows with those from them on: of many rows half of the pairs, and what they share stays in the cache.
    for first in range(0, rows, size):
        here, onward = slice(first, first + size), slice(first, None)
        common = np.bitwise_count(words[..., here, None, :] & words[..., None, onward, :]).sum(-1, dtype=np.uint32)
        gram[..., here, onward], gram[..., onward, here] = common, common.swapaxes(-1, -2)
    return gram
