"""The two ways in which earlybird ends early on purpose, and how an error says what was meant."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches


class InputError(ValueError):
    """An argument, a setting or a file cannot be used; the message names it, the bound and the way out.

    The command line prints it as one sentence and exits with status 2.
    """


class JobError(RuntimeError):
    """A job was asked for correctly and failed while it ran; what was written before it stays.

    The command line prints it as one sentence and exits with status 1.
    """


def first_line(error: Exception) -> str:
    """Another's error in one line: its first, with the next where that ends in a colon."""
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])


def nearest(name: str, known: Collection[str], *, otherwise: str = "choose one of") -> str:
    """What to say after a name that is none of the known ones: the nearest of them, or all.

    >>> nearest("kendal", ["ols", "mann-kendall"])
    "did you mean 'mann-kendall'?"
    """
    near = get_close_matches(name, known, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"{otherwise} {', '.join(known)}"
