"""Scores -> masks: which units stay at a given ratio of pruning.

Shapes: scores are `(..., layers, units)`; `...` is usually the steps. Where the blocks of one kind hold
different numbers of units, rows are padded to the widest block and `units` tells each block's own count;
padding is never kept, counted or ranked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from earlybird.masks.rule import MaskRule, checked_scores
from earlybird.vocabulary import KvGroups, Scope


def mask_at_ratio(
    scores: ArrayLike,
    ratio: float,
    scope: Scope = "layer",
    *,
    units: Sequence[int] | None = None,
    uniform: bool = False,
    key_value_groups: Sequence[int] | None = None,
    kv_groups: KvGroups | None = None,
    round_to: int = 1,
    valid_counts: Sequence[int] | None = None,
    whole_blocks: bool = False,
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
        kv_groups: what is pruned of those, "whole" groups or equally many heads "within" every group; by default
            whole where a block has at least four groups, within otherwise.
        round_to: keep the nearest multiple of it in every block, at least one multiple; a block of fewer units
            stays whole.
        valid_counts: the numbers that every block may keep; the nearest is taken. Only with `uniform`.
        whole_blocks: whether a threshold over all blocks may take the last unit of one. By default a block never loses
            it: its largest score stays, whatever the ratio.

    Among equal scores the earlier position is pruned first.

    Raises:
        InputError: ratio outside [0, 1), an unknown scope, scores that are not finite, `round_to` below 1, or a ratio
            above 0 that prunes nothing because of groups or rounding.
    """
    values = checked_scores(scores, units)
    counts = [values.shape[-1]] * values.shape[-2] if units is None else units
    rule = MaskRule(ratio, scope, counts, uniform, key_value_groups, kv_groups, round_to, valid_counts, whole_blocks)
    return rule.masks_and_ties(values)[0]
