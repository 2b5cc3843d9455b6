"""Captured: how good a choice of units a mask is, judged by reference scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from earlybird.masks import BudgetRule, MaskRule, Rule
from earlybird.vocabulary import KvGroups, Scope


def captured(
    masks: NDArray[np.bool_],
    scores: NDArray[np.floating],
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
        kv_groups: how those were pruned, see `mask_at_ratio`.
        round_to: the number of which they keep multiples.
        valid_counts: the numbers that a block may keep, see `mask_at_ratio`.
        whole_blocks: whether a block may lose its last unit.
    """
    counts = [scores.shape[1]] * scores.shape[0] if units is None else units
    rule = MaskRule(ratio, scope, counts, uniform, key_value_groups, kv_groups, round_to, valid_counts, whole_blocks)
    return captured_by(rule, masks, scores)


def captured_by(rule: Rule, masks: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """`captured` of masks (..., layers, units) made by a rule, by reference scores (layers, units); (...).

    With a budget the scores of both kinds are added up, and chance is a random order to the same cost, which keeps the
    same share of each kind.
    """
    if isinstance(rule, BudgetRule):
        return _captured_at_budget(rule, masks, scores)
    counts = np.asarray(rule.units)
    valid = rule.valid(scores.shape[1])
    values = np.asarray(scores, dtype=np.float64)
    # Counted from the first score of each scope, equal scores add up to exactly 0, not to a rounding error.
    first = values[:, :1] if rule.by_block else values[valid][:1]
    values = np.where(valid, values - first, 0.0)

    def gain(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        if rule.by_block:
            mean = values.sum(-1) / np.maximum(counts, 1)
            return np.asarray(((kept * values).sum(-1) - kept.sum(-1) * mean).sum(-1))
        return np.asarray((kept * values).sum((-1, -2)) - kept.sum((-1, -2)) * values.sum() / counts.sum())

    reference = float(gain(rule.masks(scores)))
    if reference <= 0:
        return np.ones(masks.shape[:-2])
    return gain(masks) / reference


def _captured_at_budget(
    rule: BudgetRule, masks: NDArray[np.bool_], scores: NDArray[np.floating]
) -> NDArray[np.float64]:
    values = np.where(rule.valid(scores.shape[1]), scores, 0.0).astype(np.float64)
    gained = (masks * values).sum((-1, -2))
    best = (rule.masks(values) * values).sum()
    chance = rule.by_chance(masks) * values.sum()
    room = best - chance
    # Where the reference ranks nothing, what is left of the difference is rounding.
    ranked = room > 1e-12 * np.abs(best)
    return np.where(ranked, (gained - chance) / np.where(ranked, room, 1.0), 1.0)
