"""The split of a folder of images whose labels are a column of a metadata file."""

from __future__ import annotations

import os
from pathlib import Path

from earlybird.errors import InputError
from earlybird.recipes.data.folder_listing import FolderListing, counted
from earlybird.recipes.data.raw_labels import RawLabels, class_numbers
from earlybird.recipes.data.settings import DEFAULT_LABEL_COLUMN, ImageDataSettings
from earlybird.recipes.data.split import ImageFiles, Split, row_name
from earlybird.recipes.data.text_files import Records, read_delimited, read_json_lines

_FILE = "file_name"
_HINT = (
    f"; {_FILE} gives the path of each image from there: set data.label_column to the column of labels, or to null, so"
    " that the folders name the classes"
)


def split_of_metadata(listing: FolderListing, settings: ImageDataSettings) -> Split:
    """Return the images that the metadata files of a folder name (in the column `file_name`), labelled by a column.

    Raises:
        InputError: a file cannot be read, lacks a column, or names what is no image or was named before.
    """
    column = settings.label_column or DEFAULT_LABEL_COLUMN
    images = {os.path.normpath(path) for path in listing.everything.images}
    values: list[object] = []
    lines: list[int | str] = []
    found: dict[str, None] = {}  # In order.
    for file in map(Path, listing.everything.metadata):
        records = _read(file, [_FILE, column])
        for row, (name, value) in enumerate(zip(records.columns[_FILE], records.columns[column], strict=True)):
            path = os.path.normpath(file.parent / name) if isinstance(name, str) else ""
            place = f"{row_name(row, records.lines)} of {file.relative_to(listing.folder)}"
            if path not in images or path in found:
                problem = "is named twice" if path in found else "is no image there, expected a path from this file"
                raise InputError(f"{listing.folder}, {place}: {_FILE} {name!r} {problem}")
            found[path] = None
            values.append(value)
            lines.append(place)
    where = str(listing.folder)
    if not found:
        raise InputError(f"{where}: {', '.join(listing.everything.metadata)} names no images")
    labels, names = class_numbers(RawLabels(values, None, where, lines))
    return Split(labels, names, where, ImageFiles(tuple(found)), notes=_notes(listing, found), lines=lines)


def _read(file: Path, wanted: list[str]) -> Records:
    match file.suffix.lower():
        case ".csv":
            return read_delimited(file, "csv", wanted, hint=_HINT)
        case ".jsonl":
            return read_json_lines(file, wanted, _HINT)
        case _:
            # It imports `datasets`, which takes seconds.
            from earlybird.recipes.data.parquet import read_columns

            return Records(read_columns(file, wanted, _HINT), [])


def _notes(listing: FolderListing, named: dict[str, None]) -> tuple[str, ...]:
    files = listing.everything
    left_out = [path for path in files.images + files.unread if os.path.normpath(path) not in named]
    if not left_out:
        return ()
    return (f"{listing.folder}: {counted(left_out)} not read, {', '.join(files.metadata[:5])} does not name them",)
