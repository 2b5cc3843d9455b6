"""A directory of Parquet files, laid out as on the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet  # type: ignore[import-untyped]

from earlybird.errors import InputError
from earlybird.recipes.data.directory import source_directory
from earlybird.recipes.data.settings import SourceSettings
from earlybird.recipes.data.table import Table


def read_parquet(settings: SourceSettings) -> tuple[Table, Table]:
    """Return the training and evaluation split of `{split}*.parquet`.

    The files lie in the source directory itself, below its `data/`, or in a config's folder (`data.config`,
    or the only one there is). They are converted once to memory-mapped Arrow in the cache of `datasets`.

    Raises:
        InputError: the directory or a split's files are missing or unreadable.
    """
    directory = source_directory(settings, "{split}*.parquet files")
    return _read_split(directory, settings, settings.train_split), _read_split(directory, settings, settings.eval_split)


def read_columns(path: Path, names: Sequence[str], hint: str) -> dict[str, list[Any]]:
    """Return the values of columns of one file.

    Args:
        path: of the file.
        names: of the columns.
        hint: what to say where one is missing.

    Raises:
        InputError: the file is unreadable, or has no such column.
    """
    try:
        rows = datasets.Dataset.from_parquet(str(path))
    except Exception as error:  # The reader passes on whatever pyarrow and the builder raise.
        raise InputError(f"{path} cannot be read as Parquet: {error.__cause__ or error}") from error
    for name in names:
        if name not in rows.column_names:
            raise InputError(f"{path} has no column {name!r}: it has {', '.join(rows.column_names)}{hint}")
    return Table(rows, str(path)).columns(names)


def _read_split(directory: Path, settings: SourceSettings, split: str) -> Table:
    files = _split_files(directory, settings.config, split)
    where = f"split {split!r} of {directory}"
    try:
        # `datasets` stumbles over a file without rows.
        counts = {file: pyarrow.parquet.read_metadata(file).num_rows for file in files}
        filled = [file for file in files if counts[file]]
        rows = datasets.Dataset.from_parquet([str(file) for file in filled]) if filled else None
    except Exception as error:  # The reader passes on whatever pyarrow and the builder raise.
        names = ", ".join(file.name for file in files)
        raise InputError(f"{where} cannot be read as Parquet ({names}): {error.__cause__ or error}") from error
    if rows is None:
        raise InputError(f"{where} is empty: expected at least one row")
    return Table(rows, where, tuple((file.name, counts[file]) for file in filled))


def _split_files(directory: Path, config: str | None, split: str) -> list[Path]:
    # "train-00000-of-00002" is a part of "train"; "train_extra" and "training" are other splits.
    part = re.compile(rf"{re.escape(split)}(?!_?[A-Za-z]).*\.parquet")

    def parts(folder: Path) -> list[Path]:
        return sorted(path for path in folder.glob("*.parquet") if part.fullmatch(path.name))

    if config is None:
        for folder in (directory, directory / "data"):
            if found := parts(folder):
                return found
        folders = [folder for folder in sorted(directory.iterdir()) if folder.is_dir() and parts(folder)]
    else:
        folders = [folder for folder in (directory / config,) if parts(folder)]
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise InputError(f"{directory} holds {split}*.parquet for several configs ({names}): set data.config to one")
    if not folders:
        paths = [*directory.glob("*.parquet"), *directory.glob("*/*.parquet")]
        present = ", ".join(sorted(str(path.relative_to(directory)) for path in paths)[:20])
        expected = f"in its folder {config}/" if config else "there, below data/ or in a config's folder"
        raise InputError(
            f"{directory} has no files for split {split!r}: expected {split}*.parquet {expected}, "
            f"found {present or 'no Parquet file'}"
        )
    return parts(folders[0])
