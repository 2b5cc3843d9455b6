"""The split of a folder of images whose labels are a column of a metadata file."""

from __future__ import annotations

import glob
import os
from dataclasses import replace

import datasets

from earlybird.errors import InputError
from earlybird.recipes.data.columns import split_of_table
from earlybird.recipes.data.folder_listing import FolderListing, counted
from earlybird.recipes.data.settings import ImageDataSettings
from earlybird.recipes.data.split import Split
from earlybird.recipes.data.table import Table


def split_of_metadata(listing: FolderListing, settings: ImageDataSettings) -> Split:
    """Return the images that the metadata files of a folder name (in the column `file_name`), labelled by a column.

    Raises:
        InputError: the files cannot be read, or have no such column.
    """
    folder, files = listing.folder, listing.everything
    try:
        # One split at a time, by pattern: the builder's own guess takes a class called "test" for a split.
        rows = datasets.load_dataset(
            "imagefolder",
            data_files={"images": glob.escape(str(folder.resolve())) + "/**"},
            split="images",
        )
    except Exception as error:  # The builder's complaints about unreadable or foreign metadata vary.
        raise InputError(f"{', '.join(files.metadata)} cannot be read: {error.__cause__ or error}") from error
    if settings.label_column is not None and settings.label_column not in rows.features:
        raise InputError(
            f"{', '.join(files.metadata)} has no column {settings.label_column!r}: set data.label_column to one of its "
            f"columns {', '.join(rows.column_names)}, or to null, so that the folders name the classes"
        )
    split = split_of_table(Table(rows, str(folder)), settings)
    return replace(split, notes=_notes(listing, _named(rows)))


def _named(rows: datasets.Dataset) -> set[str]:
    """The files that the rows name."""
    images = [name for name, feature in rows.features.items() if isinstance(feature, datasets.Image)]
    columns = rows.select_columns(images).with_format("arrow")[:]
    paths = (
        path for name in images for chunk in columns.column(name).chunks for path in chunk.field("path").to_pylist()
    )
    return {os.path.normpath(path) for path in paths if path is not None}


def _notes(listing: FolderListing, named: set[str]) -> tuple[str, ...]:
    resolved, files = listing.folder.resolve(), listing.everything
    left_out = [
        path
        for path in files.images + files.unread
        if os.path.join(resolved, os.path.relpath(path, listing.folder)) not in named
    ]
    if not left_out:
        return ()
    return (f"{listing.folder}: {counted(left_out)} not read, {', '.join(files.metadata[:5])} does not name them",)
