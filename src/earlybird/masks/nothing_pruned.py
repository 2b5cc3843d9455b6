"""Whether a ratio prunes anything once counts are rounded to what a shape can be, and which ratio would."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from earlybird.errors import InputError
from earlybird.masks.counts import pruned_count, pruned_per_block

_THOUSANDTHS = 1000


def refuse_rounding_to_nothing(
    ratio: float,
    counts: Sequence[int],
    *,
    uniform: bool,
    by_block: bool,
    round_to: int,
    valid_counts: Sequence[int] | None,
) -> None:
    """Refuse a ratio above 0 that rounding may undo in every block; the arguments are those of `MaskRule`.

    Raises:
        InputError: there are scores by which every block keeps all of its units. The message names the smallest ratio
            that prunes something whatever the scores.
    """
    if ratio == 0 or (round_to == 1 and valid_counts is None):
        return
    restored = [_most_restored(units, round_to) for units in counts]

    def prunes(some: float) -> bool:
        if by_block:
            return any(pruned_per_block(counts, some, uniform, round_to, valid_counts))
        return -1 in restored or pruned_count(some, sum(counts)) > sum(restored)

    if prunes(ratio):
        return
    rounded = f"a multiple of round_to={round_to}"
    if valid_counts is not None:
        rounded = f"one of the numbers that the model's config accepts, {', '.join(map(str, valid_counts))}"
    smallest = bisect_left(range(_THOUSANDTHS), True, key=lambda number: prunes(number / _THOUSANDTHS))
    way_out = f"the smallest ratio that prunes something is {smallest / _THOUSANDTHS}"
    if smallest == _THOUSANDTHS:
        way_out = "so does every ratio"
    raise InputError(f"ratio {ratio} prunes nothing, since every block keeps {rounded}, and here all of it; {way_out}")


def _most_restored(units: int, round_to: int) -> int:
    """The most units that a block can lose by the threshold and get back by rounding; -1 where rounding takes some."""
    if units <= round_to:
        return units
    return round_to // 2 if units % round_to == 0 else -1
