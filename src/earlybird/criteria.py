"""Masks -> numbers: what a detector watches, and what judges a draw.

Shapes: masks and scores are `(..., layers, units)`; results are `(...)` in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from earlybird.groups import Groups
from earlybird.masks import Scope, mask_at_ratio

# Above so many bytes, pairs of rows are counted some rows at a time.
_ALL_AT_ONCE = 1 << 16
_ROWS_AT_ONCE = 8


def nuclear_norm(masks: NDArray[np.bool_] | NDArray[np.floating]) -> NDArray[np.float64]:
    """Sum of singular values of each (layers, units) mask; masks (..., layers, units) -> (...).

    Scores in place of masks give the nuclear norm of the scores. Columns of zeros change nothing, so padding of
    masks needs no care; that of scores must be 0.
    """
    return np.asarray(singular_values(masks).sum(-1))


def effective_rank(masks: NDArray[np.bool_] | NDArray[np.floating]) -> NDArray[np.float64]:
    """exp of the entropy of the singular values' shares (Roy and Vetterli 2007, definition 1); (...).

    Between 1 and the rank; for a zero matrix, which has no shares, 0.
    """
    values = singular_values(masks)
    total = values.sum(-1, keepdims=True)
    shares = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(-1)
    return np.where(total[..., 0] > 0, np.exp(entropy), 0.0)


def singular_values(matrices: NDArray[np.bool_] | NDArray[np.floating]) -> NDArray[np.float64]:
    """Singular values of each matrix, ascending; (..., layers, units) -> (..., min(layers, units)).

    Computed from the eigenvalues of the Gram matrix of the shorter side, ten times cheaper than by decomposing a
    wide matrix.
    """
    rows = np.asarray(matrices)
    if rows.shape[-1] < rows.shape[-2]:
        rows = rows.swapaxes(-1, -2)
    if rows.dtype == np.bool_:
        gram = _common_units(rows).astype(np.float64)
    else:
        rows = rows.astype(np.float64)
        gram = rows @ rows.swapaxes(-1, -2)
    eigenvalues = np.linalg.eigvalsh(gram)
    # A rank-deficient matrix has exact zeros here, which come out as rounding noise whose root is not small.
    noise = rows.shape[-2] * np.finfo(np.float64).eps * eigenvalues[..., -1:]
    eigenvalues[eigenvalues <= noise] = 0.0
    return np.asarray(np.sqrt(eigenvalues))


def _common_units(masks: NDArray[np.bool_]) -> NDArray[np.uint32]:
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


def hamming_distance(
    masks: NDArray[np.bool_], others: NDArray[np.bool_], *, units: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """Fraction of units in which two masks differ (You et al. 2020, arXiv 1909.11957, eq. 1)."""
    total = masks.shape[-1] * masks.shape[-2] if units is None else sum(units)
    return np.asarray((masks != others).sum((-1, -2)) / total, dtype=np.float64)


def overlap(masks: NDArray[np.bool_], others: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of two masks with equal kept count, |kept in both| / |kept|."""
    both = (masks & others).sum((-1, -2))
    return np.asarray(both / others.sum((-1, -2)), dtype=np.float64)


def captured(
    masks: NDArray[np.bool_],
    scores: NDArray[np.floating],
    ratio: float,
    scope: Scope = "layer",
    *,
    units: Sequence[int] | None = None,
    uniform: bool = False,
    key_value_groups: Sequence[int] | None = None,
    groups: Groups | None = None,
    round_to: int = 1,
    admitted: Sequence[int] | None = None,
) -> NDArray[np.float64]:
    """How much of the best choice's gain over chance the masks capture, judged by reference scores.

    (sum of scores over the mask - b) / (sum over the scores' own mask - b), where b is what a random mask with
    the same count in each scope gets on average. 1: as good a choice as the reference's own; 0: no better
    than chance. Where the reference ranks nothing (all equal), any mask is as good: 1.

    Args:
        masks: bool (..., layers, units).
        scores: reference scores (layers, units), for instance the last step's.
        ratio: the ratio at which the masks were taken.
        scope: the scope at which they were taken.
        units: units of each block where they differ, (layers,).
        uniform: whether they keep the same number in every block.
        key_value_groups: of heads that share keys and values: the groups of each block.
        groups: how those were pruned, see `mask_at_ratio`.
        round_to: the number of which they keep multiples.
        admitted: the numbers that a block may keep, see `mask_at_ratio`.
    """
    best = mask_at_ratio(
        scores,
        ratio,
        scope,
        units=units,
        uniform=uniform,
        key_value_groups=key_value_groups,
        groups=groups,
        round_to=round_to,
        admitted=admitted,
    )
    counts = np.full(scores.shape[0], scores.shape[1]) if units is None else np.asarray(units)
    valid = np.arange(scores.shape[1]) < counts[:, None]
    values = np.asarray(scores, dtype=np.float64)
    # Counted from the first score of each scope, equal scores add up to exactly 0, not to a rounding error.
    first = values[:, :1] if scope == "layer" or uniform else values[valid][:1]
    values = np.where(valid, values - first, 0.0)

    def gain(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        if scope == "layer" or uniform:
            mean = values.sum(-1) / np.maximum(counts, 1)
            return np.asarray(((kept * values).sum(-1) - kept.sum(-1) * mean).sum(-1))
        return np.asarray((kept * values).sum((-1, -2)) - kept.sum((-1, -2)) * values.sum() / counts.sum())

    reference = float(gain(best))
    if reference <= 0:
        return np.ones(masks.shape[:-2])
    return gain(masks) / reference
