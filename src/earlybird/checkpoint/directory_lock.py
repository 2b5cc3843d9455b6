"""A lock on a directory itself: it leaves no file, and goes with the process that held it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl


@contextmanager
def locked(directory: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Hold a directory against whatever else on this machine asks for it here, in this process or another.

    Processes on other machines that share the disk are not held off. Where there is no such lock (Windows, a file
    system without locks, no directory), nothing is held, and all goes on as if it were.

    Args:
        directory: to hold.
        shared: with others who share it, against who wants it alone.
        wait: until it is free.

    Yields:
        Whether it is held: False where `wait` is and it was not free.
    """
    if sys.platform == "win32":
        yield True
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except (OSError, ValueError):  # ValueError: what can be no path
        yield True
        return
    try:
        yield _take(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    finally:
        # To close it would not do where a process was forked meanwhile, which has it open, too.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _take(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except OSError as error:
        return not isinstance(error, BlockingIOError)
    return True
