"""Writing a file so that nobody ever sees it half-written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced_whole(path: Path) -> Iterator[Path]:
    """Where to write a file's new content, which then takes its place; an error leaves the old one, and no rest."""
    temporary = _temporary(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one move; its directory is made if needed. A full disk leaves the old one, and no rest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Half a surrogate pair, as JSON may hold one, is no character that a file could take.
    content = text.encode("utf-8", errors="backslashreplace")
    with replaced_whole(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        # The move may reach the disk before the content does, and a power cut in between leaves an empty file.
        os.fsync(file.fileno())


def may_begin_in(directory: Path, first: Path) -> bool:
    """Whether a directory is still to be made or empty, but for what a first file's interrupted writing left there."""
    return not directory.exists() or (directory.is_dir() and set(directory.iterdir()) <= {_temporary(first)})


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")
