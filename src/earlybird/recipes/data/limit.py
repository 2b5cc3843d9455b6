"""A part of a set, for trying things out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def limited(rows: int, limit: int | None) -> NDArray[np.int64]:
    """Return the first `limit` rows of a shuffle with seed 0, so that classes stay mixed.

    `None` or more than there are takes all, in order.
    """
    if limit is None or limit >= rows:
        return np.arange(rows)
    return np.random.default_rng(0).permutation(rows)[:limit]


def under_limit(where: str, rows: int, setting: str, limit: int | None) -> str:
    """What to call a split of so many rows in messages: with the limit (`setting`) where that leaves some out."""
    return where if limit is None or limit >= rows else f"{where} under data.{setting}={limit}"
