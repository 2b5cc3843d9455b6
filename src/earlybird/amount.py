"""Large counts, written short."""

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
