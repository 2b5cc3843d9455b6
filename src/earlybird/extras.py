"""Packages that only some methods need: asked for when one of those is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from earlybird.errors import InputError


def require(module: str, *, extra: str, what: str) -> None:
    """Check that an optional package is there, without importing it.

    Raises:
        InputError: it is not; the message says what to install.
    """
    if sentence := lacking((module,), extra=extra, what=what):
        raise InputError(sentence)


def lacking(modules: Sequence[str], *, extra: str, what: str) -> str:
    """What to install where one of the packages is not there, or "" where all are."""
    module = next((name for name in modules if find_spec(name) is None), None)
    if module is None:
        return ""
    return f"{what} needs the package {module}, which is not installed: pip install 'earlybird[{extra}]'"
