"""Exporting a saved directory to another."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from earlybird.checkpoint.load import load
from earlybird.errors import InputError
from earlybird.exports.export import ExportFormat, export
from earlybird.ticket import Ticket

# What the export writes anew, or what is true of the pruned weights alone.
_NOT_COPIED = ("config.json", "generation_config.json", "README.md", "model.safetensors.index.json")


def export_directory(source: Path, directory: Path, format: ExportFormat, ticket: Path | None = None) -> Path:
    """Export the model of a directory, with the JSON and text files of its tokenizer or processor.

    Raises:
        InputError: see `earlybird.load` and `earlybird.export`; the two directories are one.
    """
    if source.resolve() == directory.resolve():
        raise InputError(f"{directory} holds the model itself; give another directory to export to")
    return export(
        load(source),
        directory,
        format,
        ticket=None if ticket is None else Ticket.load(ticket),
        processor=_CopiedFiles(source),
    )


class _CopiedFiles:
    """A tokenizer or processor as the files that lie in a directory."""

    def __init__(self, source: Path) -> None:
        self._source = source

    def save_pretrained(self, directory: str | os.PathLike[str], /) -> None:
        """Copy the JSON and text files that are not the model's."""
        for path in sorted(self._source.iterdir()):
            if path.is_file() and path.suffix in (".json", ".txt", ".model", ".jinja") and path.name not in _NOT_COPIED:
                shutil.copyfile(path, Path(directory) / path.name)
