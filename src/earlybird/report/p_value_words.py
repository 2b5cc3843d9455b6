"""A p-value, written short."""

from __future__ import annotations

import math


def p_in_words(p: float) -> str:
    """A p-value as text; NaN is that of a constant window.

    >>> p_in_words(0.347), p_in_words(1e-9), p_in_words(float("nan"))
    ('p 0.35', 'p below 0.01', 'constant')
    """
    if math.isnan(p):
        return "constant"
    return "p below 0.01" if p < 0.01 else f"p {p:.2f}"
