"""Packages that only some methods need: asked for when one of those is chosen."""

from __future__ import annotations

from importlib.util import find_spec

from earlybird.errors import InputError


def require(module: str, *, extra: str, what: str) -> None:
    """Check that an optional package is there, without importing it.

    Raises:
        InputError: it is not; the message says what to install.
    """
    if find_spec(module) is None:
        raise InputError(f"{what} needs the package {module}, which is not installed: pip install 'earlybird[{extra}]'")
