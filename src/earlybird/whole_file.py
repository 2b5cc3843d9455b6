"""Writing a small file so that nobody ever sees it half-written."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one move; its directory is made if needed. A full disk leaves the old one, and no rest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        # Half a surrogate pair, as JSON may hold one, is no character that a file could take.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def may_begin_in(directory: Path, first: Path) -> bool:
    """Whether a directory is still to be made or empty, but for what a first file's interrupted writing left there."""
    return not directory.exists() or (directory.is_dir() and set(directory.iterdir()) <= {_temporary(first)})


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")
