"""One command at a time in the directory of a run or a sweep: two would write over each other's stages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from earlybird.checkpoint.directory_lock import locked
from earlybird.errors import InputError


@contextmanager
def alone_in(root: Path) -> Iterator[None]:
    """Hold a directory, which is made if it is not there, against all other commands on this machine.

    Raises:
        InputError: another command works there.
    """
    if not root.exists():
        root.mkdir(parents=True, exist_ok=True)  # two that begin at once
    with locked(root, wait=False) as held:
        if not held:
            raise InputError(
                f"another earlybird is at work in {root}: wait until it has ended, or choose another directory"
            )
        yield
