"""How many units a block keeps: at a ratio, rounded to what a shape can be."""

from __future__ import annotations

import math
from collections.abc import Sequence

from earlybird.config import is_number
from earlybird.errors import InputError


def pruned_count(ratio: float, units: int) -> int:
    """How many of `units` are pruned at `ratio`: 0 at ratio 0, otherwise floor(ratio (units - 1)) + 1.

    Without ties this is the published rule, kept = |c| > quantile(|c|, ratio) with linear interpolation; with
    ties it stays the same number.

    Raises:
        InputError: the ratio lies outside [0, 1).
    """
    if not (is_number(ratio) and 0 <= ratio < 1):
        raise InputError(f"ratio must lie in [0, 1), got {ratio!r}; to prune nothing use 0")
    if ratio == 0 or units == 0:
        return 0
    return math.floor(ratio * (units - 1)) + 1


def rounded_count(kept: int, units: int, round_to: int = 1, valid_counts: Sequence[int] | None = None) -> int:
    """The number nearest to `kept` that a block of `units` may keep; of two as near the larger.

    Multiples of `round_to` up to `units`, at least one; all `units` where there is none. Of `valid_counts` those
    that are multiples, or all of them where none is.

    Raises:
        InputError: `round_to` is below 1.
    """
    if type(round_to) is not int or round_to < 1:
        raise InputError(f"round_to must be a whole number of at least 1, got {round_to!r}; 1 rounds nothing")
    if round_to == 1 and valid_counts is None:
        return kept
    choice = [count for count in (range(1, units + 1) if valid_counts is None else valid_counts) if count <= units]
    multiples = [count for count in choice if count % round_to == 0]
    if valid_counts is None and not multiples:
        return units
    return min(multiples or choice, key=lambda count: (abs(count - kept), -count), default=kept)


def pruned_per_block(
    counts: Sequence[int], ratio: float, uniform: bool, round_to: int, valid_counts: Sequence[int] | None
) -> list[int]:
    """How many units each block loses where the threshold is its own; at most all but one."""
    if ratio == 0:
        round_to, valid_counts = 1, None
    if uniform:
        smallest = min(counts, default=0)
        kept_everywhere = max(1, smallest - pruned_count(ratio, smallest))
        kept_everywhere = rounded_count(kept_everywhere, smallest, round_to, valid_counts)
        return [max(0, n - kept_everywhere) for n in counts]
    lost = {n: n - rounded_count(max(1, n - pruned_count(ratio, n)), n, round_to) if n else 0 for n in set(counts)}
    return [lost[n] for n in counts]
