"""The local directory that `data.source` names."""

from __future__ import annotations

from pathlib import Path

from earlybird.errors import InputError
from earlybird.recipes.data.settings import SourceSettings


def source_directory(settings: SourceSettings, expected: str) -> Path:
    """Return `data.source` as an existing directory; a relative one starts at the current directory.

    `expected` says in the message what should lie there.

    Raises:
        InputError: it is missing or not a directory.
    """
    directory = Path(settings.source).expanduser()
    if not directory.is_dir():
        problem = "is not a directory" if directory.exists() else "does not exist"
        raise InputError(
            f"data.source {directory} {problem} (seen from {Path.cwd()}): "
            f"data.format={settings.format} expects a directory with {expected}"
        )
    return directory
