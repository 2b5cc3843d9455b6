"""Scores -> masks: which units stay at a given ratio of pruning.

Shapes: scores are `(..., layers, units)`; `...` is usually the steps. Where the blocks of one kind hold
different numbers of units, rows are padded to the widest block and `units` tells each block's own count;
padding is never kept, counted or ranked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from earlybird.errors import InputError
from earlybird.groups import Groups, shared_heads

Scope = Literal["layer", "global"]

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
    values, valid = _checked(scores, units)
    if (shared := shared_heads(valid.sum(-1).tolist(), key_value_groups, groups)) is not None:
        slots = mask_at_ratio(
            shared.gathered(values),
            ratio,
            scope,
            units=shared.slots,
            uniform=uniform,
            round_to=round_to,
            admitted=shared.admitted_slots(admitted),
        )
        return shared.spread(slots, values)
    if scope == "layer" or uniform:
        return _without_smallest(values, valid, _pruned_per_block(valid, ratio, uniform, round_to, admitted))
    if scope != "global":
        raise InputError(f'scope must be "layer" or "global", got {scope!r}')
    flat = _flattened(values)
    pruned = [pruned_count(ratio, int(valid.sum()))]
    kept = _without_smallest(flat, valid.reshape(1, -1), pruned).reshape(values.shape)
    kept = _keep_last_unit(kept, values, valid)
    return kept if round_to == 1 or ratio == 0 else _rounded(kept, values, valid, round_to)


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
    values, valid = _checked(scores, units)
    if scope == "layer":
        return np.array([0 < n <= pruned_count(ratio, int(n)) for n in valid.sum(-1)])
    kept = _without_smallest(
        values.reshape(1, -1), valid.reshape(1, -1), [pruned_count(ratio, int(valid.sum()))]
    ).reshape(values.shape)
    return np.asarray(~kept.any(-1) & valid.any(-1))


def threshold_is_tied(
    scores: ArrayLike,
    ratio: float,
    scope: Scope = "layer",
    *,
    units: Sequence[int] | None = None,
    uniform: bool = False,
    round_to: int = 1,
    admitted: Sequence[int] | None = None,
) -> NDArray[np.bool_]:
    """Whether the threshold falls among many equal scores, so that the mask is an accident of position.

    True where the units on both sides of the threshold share one score and those equal are more than 5% of
    the scope's units and more than two, in any block for scope "layer"; scores (..., layers, units) ->
    bool (...). Over all blocks the threshold is that before rounding.
    """
    values, valid = _checked(scores, units)
    if scope == "layer" or uniform:
        pruned_counts = _pruned_per_block(valid, ratio, uniform, round_to, admitted)
    else:
        values, valid = _flattened(values), valid.reshape(1, -1)
        pruned_counts = [pruned_count(ratio, int(valid.sum()))]
    tied = np.zeros(values.shape[:-2], dtype=np.bool_)
    for block, (inside, pruned) in enumerate(zip(valid, pruned_counts, strict=True)):
        total = int(inside.sum())
        if not 0 < pruned < total:
            continue
        row = values[..., block, :][..., inside]
        threshold, above = _kth_smallest(row, pruned - 1), _kth_smallest(row, pruned)
        equal = (row == threshold[..., None]).sum(-1)
        tied |= (threshold == above) & (equal > max(_TIED_UNITS, _TIED_SHARE * total))
    return tied


def _checked(scores: ArrayLike, units: Sequence[int] | None) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """The scores as a float array, and where they belong to a unit: (..., layers, units), (layers, units)."""
    values = np.asarray(scores)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    if values.ndim < 2:
        raise InputError(f"scores must be (..., layers, units), got shape {values.shape}")
    layers, width = values.shape[-2:]
    counts = np.full(layers, width) if units is None else np.asarray(units)
    if counts.shape != (layers,) or (counts > width).any() or (counts < 0).any():
        raise InputError(f"units must give each of the {layers} blocks a count up to {width}, got {counts.tolist()}")
    valid = np.arange(width) < counts[:, None]
    finite = np.isfinite(values) | ~valid
    if not finite.all():
        first = tuple(np.argwhere(~finite)[0])
        *leading, layer, unit = first
        step = f" at step {leading[0]}" if leading else ""
        raise InputError(f"scores must be finite, got {values[first]}{step} in layer {layer}, unit {unit}")
    return values, valid


def _pruned_per_block(
    valid: NDArray[np.bool_], ratio: float, uniform: bool, round_to: int = 1, admitted: Sequence[int] | None = None
) -> list[int]:
    """How many units each block loses where the threshold is its own; at most all but one."""
    counts = [int(n) for n in valid.sum(-1)]
    if ratio == 0:
        round_to, admitted = 1, None
    if uniform:
        smallest = min(counts, default=0)
        kept_everywhere = max(1, smallest - pruned_count(ratio, smallest))
        kept_everywhere = rounded_count(kept_everywhere, smallest, round_to, admitted)
        return [max(0, n - kept_everywhere) for n in counts]
    return [n - rounded_count(max(1, n - pruned_count(ratio, n)), n, round_to) if n else 0 for n in counts]


def _flattened(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """All blocks as one: (..., layers, units) -> (..., 1, layers * units), of no steps at all too."""
    *leading, layers, units = values.shape
    return values.reshape(*leading, 1, layers * units)


def _kth_smallest(row: NDArray[np.floating], k: int) -> NDArray[np.floating]:
    return np.asarray(np.partition(row, k, axis=-1)[..., k])


def _without_smallest(
    values: NDArray[np.floating], valid: NDArray[np.bool_], pruned: Sequence[int]
) -> NDArray[np.bool_]:
    """Mask without the `pruned[i]` smallest scores of row i; equal scores go in order of position.

    The threshold comes from a partition, linear in the units, where a stable sort would cost the step path
    several times as much.
    """
    kept = np.zeros(values.shape, dtype=np.bool_)
    for block, (inside, count) in enumerate(zip(valid, pruned, strict=True)):
        if count == 0:
            kept[..., block, :] = inside
            continue
        # Over all blocks at once, padding lies between the units, not only behind them.
        units = slice(None) if inside.all() else inside
        row = values[..., block, units]
        threshold = _kth_smallest(row, count - 1)[..., None]
        equal = row == threshold
        below = (row < threshold).sum(-1, keepdims=True)
        kept[..., block, units] = (row > threshold) | (equal & (np.cumsum(equal, -1) > count - below))
    return kept


def _rounded(
    kept: NDArray[np.bool_], values: NDArray[np.floating], valid: NDArray[np.bool_], round_to: int
) -> NDArray[np.bool_]:
    """In every block the largest scores, as many as the multiple nearest to the number kept."""
    result = np.zeros_like(kept)
    for block, inside in enumerate(valid):
        units = int(inside.sum())
        target = np.array([0, *(rounded_count(count, units, round_to) for count in range(1, units + 1))])
        # Padding lies behind the units; equal scores go in order of position, as everywhere.
        order = np.argsort(values[..., block, :units], axis=-1, kind="stable")
        rank = np.argsort(order, axis=-1, kind="stable")
        result[..., block, :units] = rank >= units - target[kept[..., block, :units].sum(-1)][..., None]
    return result


def _keep_last_unit(
    kept: NDArray[np.bool_], values: NDArray[np.floating], valid: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Give every block that would be empty its largest unit back."""
    empty = ~kept.any(-1) & valid.any(-1)
    if empty.any():
        largest = np.where(valid, values, -np.inf).argmax(-1)
        where = np.nonzero(empty)
        kept[(*where, largest[where])] = True
    return kept
