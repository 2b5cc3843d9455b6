"""Rows of scores cut at their threshold: equal scores go in order of position, and a block keeps its last unit.

Shapes: scores are (..., layers, units); rows are padded to the widest block, and `counts` are the blocks' own units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from earlybird.masks.counts import rounded_count
from earlybird.masks.selection import split

Split = Callable[[NDArray[np.floating], int], tuple[NDArray[np.bool_], NDArray[np.floating], NDArray[np.floating]]]

# A threshold that falls among equal scores of more units than this share of its scope says nothing yet.
_TIED_SHARE = 0.05
_TIED_UNITS = 2


def valid_units(counts: Sequence[int] | NDArray[np.integer], width: int) -> NDArray[np.bool_]:
    """Where rows hold a unit and no padding, (layers, width)."""
    return np.arange(width) < np.asarray(counts)[:, None]


def _cut(
    rows: NDArray[np.floating], pruned: int, split_at: Split = split
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks of rows (..., n) without their `pruned` smallest scores, and where the threshold is tied (...)."""
    n = rows.shape[-1]
    tied = np.zeros(rows.shape[:-1], dtype=np.bool_)
    if not 0 < pruned < n:
        return np.full(rows.shape, pruned == 0), tied
    kept, threshold, above = split_at(rows, pruned)
    between_equals = threshold == above
    if between_equals.any():
        # Equal scores go in order of position.
        here = rows[between_equals]
        equal = here == threshold[between_equals][..., None]
        pruned_equals = pruned - (here < threshold[between_equals][..., None]).sum(-1)
        kept[between_equals] |= equal & (np.cumsum(equal, -1) > pruned_equals[..., None])
        tied[between_equals] = is_tied(equal.sum(-1), n)
    return kept, tied


@overload
def is_tied(equal: int, units: int) -> bool: ...
@overload
def is_tied(equal: NDArray[np.integer], units: int) -> NDArray[np.bool_]: ...
def is_tied(equal: int | NDArray[np.integer], units: int) -> bool | NDArray[np.bool_]:
    """Whether so many equal units on both sides of a threshold make a mask of a scope's `units` an accident."""
    return equal > max(_TIED_UNITS, _TIED_SHARE * units)


def cut_blocks(
    values: NDArray[np.floating], counts: Sequence[int], pruned: Sequence[int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Each block without its `pruned` smallest scores, and where the threshold of any is tied."""
    if len(set(pruned)) == 1 and set(counts) == {values.shape[-1]}:
        kept, tied = _cut(values, pruned[0])
        return kept, np.asarray(tied.any(-1))
    kept = np.zeros(values.shape, dtype=np.bool_)
    tied = np.zeros(values.shape[:-2], dtype=np.bool_)
    for block, (count, lost) in enumerate(zip(counts, pruned, strict=True)):
        kept[..., block, :count], tied_here = _cut(values[..., block, :count], lost)
        tied |= tied_here
    return kept, tied


def cut_together(
    values: NDArray[np.floating], counts: Sequence[int], pruned: int, split_at: Split
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """All blocks as one row without its `pruned` smallest scores, and where its threshold is tied."""
    *leading, layers, width = values.shape
    if set(counts) == {width}:
        kept, tied = _cut(values.reshape(*leading, layers * width), pruned, split_at)
        return kept.reshape(values.shape), tied
    kept, valid = np.zeros(values.shape, dtype=np.bool_), valid_units(counts, width)
    kept[..., valid], tied = _cut(values[..., valid], pruned, split_at)
    return kept, tied


def rounded(
    kept: NDArray[np.bool_], values: NDArray[np.floating], counts: Sequence[int], round_to: int
) -> NDArray[np.bool_]:
    """In every block the largest scores, as many as the multiple nearest to the number kept."""
    result = np.zeros_like(kept)
    for block, units in enumerate(counts):
        target = np.array([0, *(rounded_count(count, units, round_to) for count in range(1, units + 1))])
        # Padding lies behind the units; equal scores go in order of position, as everywhere.
        order = np.argsort(values[..., block, :units], axis=-1, kind="stable")
        rank = np.argsort(order, axis=-1, kind="stable")
        result[..., block, :units] = rank >= units - target[kept[..., block, :units].sum(-1)][..., None]
    return result


def keep_last_unit(kept: NDArray[np.bool_], values: NDArray[np.floating], counts: Sequence[int]) -> None:
    """Give every block that would be empty its largest unit back."""
    empty = ~kept.any(-1)
    if empty.any():
        largest = np.where(valid_units(counts, values.shape[-1]), values, -np.inf).argmax(-1)
        where = np.nonzero(empty & (np.asarray(counts) > 0))
        kept[(*where, largest[where])] = True
