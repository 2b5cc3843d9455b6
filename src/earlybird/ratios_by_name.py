"""Another ratio for every block, by patterns of their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from earlybird.errors import InputError
from earlybird.groups import Groups
from earlybird.masks import mask_at_ratio


def mask_by_name(
    scores: NDArray[np.floating],
    ratios: Mapping[str, float],
    names: Sequence[str],
    units: Sequence[int],
    key_value_groups: Sequence[int] | None,
    groups: Groups | None,
) -> NDArray[np.bool_]:
    """Masks (layers, units) at the ratio of the first name pattern that fits each block."""
    for pattern in ratios:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(f"a ratio was given for {pattern!r}, which fits no block; they are {', '.join(names)}")
    result = np.zeros(scores.shape, dtype=np.bool_)
    for block, name in enumerate(names):
        ratio = next((value for pattern, value in ratios.items() if fnmatchcase(name, pattern)), 0.0)
        here = slice(block, block + 1)
        shared = None if key_value_groups is None else key_value_groups[here]
        result[here] = mask_at_ratio(scores[here], ratio, units=units[here], key_value_groups=shared, groups=groups)
    return result
