"""Whether a ratio prunes anything once every block has kept what it must, and which ratio would."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from earlybird.errors import InputError
from earlybird.masks.counts import pruned_count, pruned_per_block

_THOUSANDTHS = 1000


def refuse_to_prune_nothing(
    ratio: float,
    counts: Sequence[int],
    *,
    uniform: bool,
    by_block: bool,
    round_to: int,
    valid_counts: Sequence[int] | None,
    whole_blocks: bool = False,
    what: str = "units",
) -> None:
    """Refuse a ratio above 0 that may leave every block whole.

    The arguments are those of `MaskRule`; `what` names the units.

    A threshold over all blocks prunes as the scores are spread: spread evenly, each block may lose so few units that
    rounding gives all of them back, or only such as are alone in their blocks.

    Raises:
        InputError: the message names the smallest ratio that prunes something whatever the scores.
    """
    if ratio == 0 or max(counts, default=0) == 0:
        return
    restored = [0 if whole_blocks and round_to == 1 else _most_restored(units, round_to) for units in counts]

    def prunes(some: float) -> bool:
        if by_block:
            return any(pruned_per_block(counts, some, uniform, round_to, valid_counts))
        return -1 in restored or pruned_count(some, sum(counts)) > sum(restored)

    if prunes(ratio):
        return
    why = "a block keeps at least one unit, and here that is all of it"
    if uniform and valid_counts is not None:
        accepted = f"{', '.join(map(str, valid_counts))} {what}"
        why = f"rounded to what the model's config accepts ({accepted}), every block keeps all its units"
    elif round_to > 1:
        why = f"rounded to a multiple of {round_to}, every block keeps all its units"
    smallest = bisect_left(range(_THOUSANDTHS), True, key=lambda number: prunes(number / _THOUSANDTHS))
    way_out = f"the smallest ratio that prunes something is {smallest / _THOUSANDTHS}"
    if smallest == _THOUSANDTHS:
        way_out = "no ratio prunes anything" + (", choose a smaller one to round to" if round_to > 1 else "")
    sure = by_block or smallest == _THOUSANDTHS
    raise InputError(f"ratio {ratio} {'prunes' if sure else 'may prune'} nothing: {why}; {way_out}")


def _most_restored(units: int, round_to: int) -> int:
    """The most units that a block can lose by the threshold and get back by rounding; -1 where rounding takes some."""
    if units <= round_to:
        return units
    if round_to == 1:
        return 0
    return round_to // 2 if units % round_to == 0 else -1
