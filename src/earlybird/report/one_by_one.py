"""Which kinds have so few units that each is shown by itself."""

from __future__ import annotations

from collections.abc import Sequence

from earlybird.vocabulary import Kind

# A cell of its own for each unit of a layer, up to this many.
_MOST_CELLS = 128


def one_by_one(kind: Kind, units: Sequence[int]) -> bool:
    """Whether each unit has a cell of its own: heads and experts do, neurons are too many.

    Args:
        kind: of the units.
        units: of each block.
    """
    return kind != "neurons" and max(units, default=0) <= _MOST_CELLS


def one_of(kind: Kind) -> str:
    """What one unit of a kind is called."""
    return kind.removesuffix("s")
