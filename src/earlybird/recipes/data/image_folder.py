"""One folder per class below one folder per split."""

from __future__ import annotations

import glob
from pathlib import Path

import datasets

from earlybird.errors import InputError
from earlybird.recipes.data.columns import split_of_table
from earlybird.recipes.data.directory import source_directory
from earlybird.recipes.data.settings import ImageDataSettings
from earlybird.recipes.data.split import Split
from earlybird.recipes.data.table import Table


def read_image_folder(settings: ImageDataSettings) -> tuple[Split, Split]:
    """Return the training and evaluation split of `{split}/{class}/{file}`; the folders name the classes.

    Raises:
        InputError: a folder is missing, holds no images, or holds images outside the class folders.
    """
    directory = source_directory(settings, "one folder per class below one folder per split")
    return _read_split(directory, settings, settings.train_split), _read_split(directory, settings, settings.eval_split)


def _read_split(directory: Path, settings: ImageDataSettings, split: str) -> Split:
    folder = directory / split
    if not folder.is_dir():
        present = ", ".join(sorted(path.name for path in directory.iterdir() if path.is_dir())[:20])
        raise InputError(
            f"{directory} has no folder {split!r}: expected {split}/CLASS/FILE, found {present or 'no folder'}"
        )
    try:
        # One split at a time, by pattern: the builder's own guess takes a class called "test" for a split.
        rows = datasets.load_dataset(
            "imagefolder",
            data_files={"images": glob.escape(str(folder.resolve())) + "/**"},
            drop_labels=False,
            split="images",
        )
    except Exception as error:  # The builder's complaints about an empty or unreadable folder vary.
        raise InputError(f"no images could be read below {folder}, expected {split}/CLASS/FILE: {error}") from error
    found = split_of_table(Table(rows, str(folder)), settings)
    stray = [name for name in found.names or () if not (folder / name).is_dir()]
    if stray:
        raise InputError(
            f"{folder} holds images outside its class folders (in {', '.join(stray)}/): expected {split}/CLASS/FILE"
        )
    return found
