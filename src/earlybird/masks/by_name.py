"""Another ratio for every block, by patterns of their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from earlybird.errors import InputError
from earlybird.masks.rule import MaskRule


def mask_by_name(
    scores: NDArray[np.floating], ratios: Mapping[str, float], names: Sequence[str], rule: MaskRule
) -> NDArray[np.bool_]:
    """Masks (layers, units) at the ratio of the first pattern that fits each block; a block that none fits stays whole.

    Where the rule's threshold is taken over all blocks, it is here taken over those of each pattern.

    Args:
        scores: (layers, units).
        ratios: by patterns of the blocks' names.
        names: of the blocks, (layers,).
        rule: all but the ratio.

    Raises:
        InputError: a pattern fits no block, or its ratio is above 0 and prunes nothing.
    """
    for pattern in ratios:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(f"a ratio was given for {pattern!r}, which fits no block; they are {', '.join(names)}")
    first = [next((pattern for pattern in ratios if fnmatchcase(name, pattern)), None) for name in names]
    result = np.zeros(scores.shape, dtype=np.bool_)
    for fitting in dict.fromkeys(first):
        here = [block for block, pattern in enumerate(first) if pattern == fitting]
        groups = rule.groups
        try:
            own = replace(
                rule,
                ratio=0.0 if fitting is None else ratios[fitting],
                units=tuple(rule.units[block] for block in here),
                groups=None if groups is None else tuple(groups[block] for block in here),
            )
        except InputError as error:
            raise InputError(f"{fitting!r}: {error}") from error
        result[here] = own.masks(scores[here])
    return result
