"""Numbers, written short."""

from __future__ import annotations


def amount(value: float) -> str:
    """A count in three significant digits with the usual prefix.

    >>> amount(177_600), amount(5_526_346), amount(1.26e9), amount(640)
    ('178 k', '5.53 M', '1.26 G', '640')
    """
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            scaled = value / size
            return f"{scaled:.{0 if abs(scaled) >= 100 else 1 if abs(scaled) >= 10 else 2}f} {prefix}"
    return f"{value:.0f}"


def percent(share: float) -> str:
    """A share as a percentage, with a decimal only where it would be 0 or 100 without being that.

    >>> percent(0.184), percent(0.004), percent(0.0), percent(0.998)
    ('18%', '0.4%', '0%', '99.8%')
    """
    value = 100 * share
    if 0 < value < 1 or 99 < value < 100:
        # Never rounded up to a whole that it is not.
        return f"{max(0.1, min(99.9, value)):.1f}%"
    return f"{value:.0f}%"
