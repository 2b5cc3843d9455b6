"""Scores -> masks: which units stay at a given ratio of pruning.

Shapes: scores are `(..., layers, units)`; `...` is usually the steps. Where the blocks of one kind hold
different numbers of units, rows are padded to the widest block and `units` tells each block's own count;
padding is never kept, counted or ranked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from earlybird.errors import InputError
from earlybird.groups import Groups, shared_heads
from earlybird.selection import split

Scope = Literal["layer", "global"]
Split = Callable[[NDArray[np.floating], int], tuple[NDArray[np.bool_], NDArray[np.floating], NDArray[np.floating]]]

# A threshold that falls among equal scores of more units than this share of its scope says nothing yet.
_TIED_SHARE = 0.05
_TIED_UNITS = 2


def pruned_count(ratio: float, units: int) -> int:
    """How many of `units` are pruned at `ratio`: 0 at ratio 0, otherwise floor(ratio (units - 1)) + 1.

    Without ties this is the published rule, kept = |c| > quantile(|c|, ratio) with linear interpolation; with
    ties it stays the same number.

    Raises:
        InputError: the ratio lies outside [0, 1).
    """
    if not 0 <= ratio < 1:
        raise InputError(f"ratio must lie in [0, 1), got {ratio}; to prune nothing use 0")
    if ratio == 0 or units == 0:
        return 0
    return math.floor(ratio * (units - 1)) + 1


def mask_at_ratio(
    scores: ArrayLike,
    ratio: float,
    scope: Scope = "layer",
    *,
    units: Sequence[int] | None = None,
    uniform: bool = False,
    key_value_groups: Sequence[int] | None = None,
    groups: Groups | None = None,
    round_to: int = 1,
    admitted: Sequence[int] | None = None,
) -> NDArray[np.bool_]:
    """Prune the units of smallest score; scores (..., layers, units) -> bool of the same shape, True = kept.

    Args:
        scores: float, finite; larger is more worth keeping.
        ratio: the fraction of units to prune, in [0, 1).
        scope: where the threshold is taken, in each block ("layer") or over all of them ("global").
        units: units of each block where they differ, (layers,); by default all rows are full.
        uniform: keep the same number in every block, that of the ratio over the smallest block's units;
            the scope is then the layer.
        key_value_groups: of heads that share keys and values: the groups of each block, (layers,).
        groups: what is pruned of those, "whole" groups or equally many heads "within" every group; by default
            whole where a block has at least four groups, within otherwise.
        round_to: keep the nearest multiple of it in every block, at least one multiple; a block of fewer units
            stays whole.
        admitted: the numbers that every block may keep; the nearest is taken. Only with `uniform`.

    Among equal scores the earlier position is pruned first. A block never loses its last unit: its largest
    score stays, whatever the ratio.

    Raises:
        InputError: ratio outside [0, 1), an unknown scope, scores that are not finite, or `round_to` below 1.
    """
    masks, _ = masks_and_ties(
        _checked(scores, units),
        ratio,
        scope,
        units=units,
        uniform=uniform,
        key_value_groups=key_value_groups,
        groups=groups,
        round_to=round_to,
        admitted=admitted,
    )
    return masks


def masks_and_ties(
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
    global_split: Split = split,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """`mask_at_ratio` of scores known to be finite floats, and where the mask is an accident of position.

    That is where the units on both sides of the threshold share one score, and those equal are more than 5% of the
    scope's units and more than two, in any block for scope "layer". Over all blocks the threshold is that before
    rounding.

    Args:
        scores: as the others are: of `mask_at_ratio`.
        ratio, scope, units, uniform, key_value_groups, groups, round_to, admitted: the same.
        global_split: splits the scores of all blocks at their threshold.

    Returns:
        Masks, bool of the scores' shape (..., layers, units), and whether the threshold is tied, bool (...).
    """
    counts = _counts(scores, units)
    if (shared := shared_heads(counts, key_value_groups, groups)) is not None:
        slots, tied = masks_and_ties(
            shared.gathered(scores),
            ratio,
            scope,
            units=shared.slots,
            uniform=uniform,
            round_to=round_to,
            admitted=shared.admitted_slots(admitted),
            global_split=global_split,
        )
        return shared.spread(slots, scores), tied
    if scope == "layer" or uniform:
        return _cut_blocks(scores, counts, _pruned_per_block(counts, ratio, uniform, round_to, admitted))
    if scope != "global":
        raise InputError(f'scope must be "layer" or "global", got {scope!r}')
    kept, tied = _cut_together(scores, counts, pruned_count(ratio, sum(counts)), global_split)
    _keep_last_unit(kept, scores, counts)
    return kept if round_to == 1 or ratio == 0 else _rounded(kept, scores, counts, round_to), tied


def rounded_count(kept: int, units: int, round_to: int = 1, admitted: Sequence[int] | None = None) -> int:
    """The number nearest to `kept` that a block of `units` may keep; of two as near the larger.

    Multiples of `round_to` up to `units`, at least one; all `units` where there is none. Of `admitted` those
    that are multiples, or all of them where none is.

    Raises:
        InputError: `round_to` is below 1.
    """
    if type(round_to) is not int or round_to < 1:
        raise InputError(f"round_to must be a whole number of at least 1, got {round_to!r}; 1 rounds nothing")
    if round_to == 1 and admitted is None:
        return kept
    choice = [count for count in (range(1, units + 1) if admitted is None else admitted) if count <= units]
    multiples = [count for count in choice if count % round_to == 0]
    if admitted is None and not multiples:
        return units
    return min(multiples or choice, key=lambda count: (abs(count - kept), -count), default=kept)


def rescued_blocks(
    scores: ArrayLike, ratio: float, scope: Scope = "layer", *, units: Sequence[int] | None = None
) -> NDArray[np.bool_]:
    """Which blocks keep a unit only because none may lose its last one; (layers, units) -> (layers,)."""
    values = _checked(scores, units)
    counts = _counts(values, units)
    if scope == "layer":
        return np.array([0 < n <= pruned_count(ratio, n) for n in counts])
    kept, _ = _cut_together(values, counts, pruned_count(ratio, sum(counts)), split)
    return np.asarray(~kept.any(-1) & (np.asarray(counts) > 0))


def _checked(scores: ArrayLike, units: Sequence[int] | None) -> NDArray[np.floating]:
    """The scores as a float array (..., layers, units), finite where there is a unit."""
    values = np.asarray(scores)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    if values.ndim < 2:
        raise InputError(f"scores must be (..., layers, units), got shape {values.shape}")
    layers, width = values.shape[-2:]
    counts = np.full(layers, width) if units is None else np.asarray(units)
    if counts.shape != (layers,) or (counts > width).any() or (counts < 0).any():
        raise InputError(f"units must give each of the {layers} blocks a count up to {width}, got {counts.tolist()}")
    finite = np.isfinite(values) | ~_valid(counts, width)
    if not finite.all():
        first = tuple(np.argwhere(~finite)[0])
        *leading, layer, unit = first
        step = f" at step {leading[0]}" if leading else ""
        raise InputError(f"scores must be finite, got {values[first]}{step} in layer {layer}, unit {unit}")
    return values


def _counts(values: NDArray[np.floating], units: Sequence[int] | None) -> list[int]:
    """Units of each block."""
    layers, width = values.shape[-2:]
    return [width] * layers if units is None else [int(count) for count in units]


def _valid(counts: Sequence[int] | NDArray[np.integer], width: int) -> NDArray[np.bool_]:
    """Where rows hold a unit and no padding, (layers, width)."""
    return np.arange(width) < np.asarray(counts)[:, None]


def _pruned_per_block(
    counts: Sequence[int], ratio: float, uniform: bool, round_to: int, admitted: Sequence[int] | None
) -> list[int]:
    """How many units each block loses where the threshold is its own; at most all but one."""
    if ratio == 0:
        round_to, admitted = 1, None
    if uniform:
        smallest = min(counts, default=0)
        kept_everywhere = max(1, smallest - pruned_count(ratio, smallest))
        kept_everywhere = rounded_count(kept_everywhere, smallest, round_to, admitted)
        return [max(0, n - kept_everywhere) for n in counts]
    lost = {n: n - rounded_count(max(1, n - pruned_count(ratio, n)), n, round_to) if n else 0 for n in set(counts)}
    return [lost[n] for n in counts]


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
        tied[between_equals] = equal.sum(-1) > max(_TIED_UNITS, _TIED_SHARE * n)
    return kept, tied


def _cut_blocks(
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


def _cut_together(
    values: NDArray[np.floating], counts: Sequence[int], pruned: int, split_at: Split
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """All blocks as one row without its `pruned` smallest scores, and where its threshold is tied."""
    *leading, layers, width = values.shape
    if set(counts) == {width}:
        kept, tied = _cut(values.reshape(*leading, layers * width), pruned, split_at)
        return kept.reshape(values.shape), tied
    kept, valid = np.zeros(values.shape, dtype=np.bool_), _valid(counts, width)
    kept[..., valid], tied = _cut(values[..., valid], pruned, split_at)
    return kept, tied


def _rounded(
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


def _keep_last_unit(kept: NDArray[np.bool_], values: NDArray[np.floating], counts: Sequence[int]) -> None:
    """Give every block that would be empty its largest unit back."""
    empty = ~kept.any(-1)
    if empty.any():
        largest = np.where(_valid(counts, values.shape[-1]), values, -np.inf).argmax(-1)
        where = np.nonzero(empty & (np.asarray(counts) > 0))
        kept[(*where, largest[where])] = True
