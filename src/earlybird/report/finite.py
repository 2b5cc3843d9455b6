"""Numbers from files, which may hold anything."""

from __future__ import annotations

import math
from typing import Any


def finite(value: Any) -> float | None:
    """A value from a file as a number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
