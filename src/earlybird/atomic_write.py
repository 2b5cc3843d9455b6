"""Writing a file so that nobody ever sees it half-written, also after a power cut."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Windows wants to write to what it brings to the disk.
_TO_SYNC = os.O_RDWR if os.name == "nt" else os.O_RDONLY
# What systems say that open no directory, or bring none to the disk.
_NO_DIRECTORIES = (errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOTSUP)


@contextmanager
def replaced_whole(path: Path) -> Iterator[Path]:
    """Where to write a file's new content, which then takes its place; an error leaves the old one, and no rest."""
    temporary = _temporary(path)
    try:
        yield temporary
        # The move may reach the disk before the content does, and a power cut in between leaves an empty file.
        _to_disk(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    names_to_disk(path.parent)


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one move; its directory is made if needed. A full disk leaves the old one, and no rest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Half a surrogate pair, as JSON may hold one, is no character that a file could take.
    content = text.encode("utf-8", errors="backslashreplace")
    with replaced_whole(path) as temporary:
        temporary.write_bytes(content)


def tree_to_disk(directory: Path) -> None:
    """Wait until all files below a directory are on the disk, before something says that they are whole."""
    for folder, _, names in os.walk(directory):
        for name in names:
            _to_disk(Path(folder, name))
        names_to_disk(Path(folder))


def names_to_disk(directory: Path) -> None:
    """Wait until what was moved or removed in a directory is so on the disk, where the file system can tell."""
    try:
        _to_disk(directory, os.O_RDONLY)
    except OSError as error:
        if error.errno not in _NO_DIRECTORIES:
            raise


def may_begin_in(directory: Path, first: Path) -> bool:
    """Whether a directory is still to be made or empty, but for what a first file's interrupted writing left there."""
    return not directory.exists() or (directory.is_dir() and set(directory.iterdir()) <= {_temporary(first)})


def _to_disk(path: Path, flags: int = _TO_SYNC) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")
