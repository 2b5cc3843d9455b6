"""Pretrained networks that come with earlybird, by a name of their own."""

from __future__ import annotations

from pathlib import Path

from earlybird.errors import InputError

_PREFIX = "earlybird:"
_NAMES = ("glyphs",)


def located(name: str) -> str:
    """The directory of a network that comes with earlybird, `earlybird:glyphs`; any other name as it is.

    `glyphs` is a Vision Transformer (4 layers, 48 wide, 6 heads, 192 neurons, 117,000 parameters) that was trained to
    tell letters and digits of 21 printed fonts apart, 8 x 8 pixels each, by `release/glyph_network.py`.

    Raises:
        InputError: no such network comes with earlybird.
    """
    if not name.startswith(_PREFIX):
        return name
    own = name.removeprefix(_PREFIX)
    if own not in _NAMES:
        raise InputError(f"no network called {name} comes with earlybird; there is {_PREFIX}{', '.join(_NAMES)}")
    return str(Path(__file__).parent / own)
