"""The split of a folder whose folders are the classes."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from earlybird.errors import InputError
from earlybird.recipes.data.folder_listing import FolderListing, counted
from earlybird.recipes.data.split import ImageFiles, Split

_NAMED = 5  # folders or files that a sentence names


def split_of_classes(listing: FolderListing) -> Split:
    """Return the images of the class folders, in the order of their paths.

    Raises:
        InputError: there are no images, there are some outside the class folders, a folder holds files and no image
            that can be read, or a metadata file lies beside a single folder.
    """
    _check_readable(listing)
    _check_outside(listing)
    filled = [one for one in listing.classes if one.inside.images]
    if len(filled) == 1 and listing.everything.metadata:
        raise InputError(
            f"{listing.folder} holds the one class {filled[0].name!r}: there is nothing to tell apart, expected two or"
            f" more{_choice(listing)}"
        )
    paths = tuple(path for one in filled for path in one.inside.images)
    labels = np.repeat(np.arange(len(filled), dtype=np.int64), [len(one.inside.images) for one in filled])
    names = tuple(one.name for one in filled)
    return Split(labels, names, str(listing.folder), ImageFiles(paths), notes=_notes(listing))


def _check_readable(listing: FolderListing) -> None:
    for one in listing.classes:
        lost = one.inside.unread + one.below.unread
        if lost and not one.inside.images and not one.below.images:
            raise InputError(
                f"{one.path} holds {counted(lost)} and no image with an ending that Pillow reads: convert them, to .png"
                " or .jpg for instance, or remove the folder where it is no class"
            )
    files = listing.everything
    if not files.images:
        held = f", found {counted(files.unread)}" if files.unread else ""
        raise InputError(
            f"no images could be read below {listing.folder}, expected {listing.folder.name}/CLASS/FILE{held}"
        )


def _check_outside(listing: FolderListing) -> None:
    folder = listing.folder
    outside = [path for files in (listing.beside, *(one.below for one in listing.classes)) for path in files.images]
    if outside:
        places = sorted({f"{os.path.relpath(os.path.dirname(path), folder.parent)}/" for path in outside})
        raise InputError(
            f"{folder} holds images outside its class folders (in {_shortened(places)}): expected"
            f" {folder.name}/CLASS/FILE{_choice(listing)}"
        )


def _choice(listing: FolderListing) -> str:
    metadata = listing.everything.metadata
    return f"; where {metadata[0]} holds the labels, set data.label_column to its column of them" if metadata else ""


def _notes(listing: FolderListing) -> tuple[str, ...]:
    files, notes = listing.everything, []
    if files.unread:
        notes.append(f"{listing.folder}: {counted(files.unread)} not read, the ending is of no image format")
    if files.metadata:
        notes.append(
            f"{_shortened(files.metadata)} not read, the folders name the classes: to take them from a column of such a"
            " file set data.label_column"
        )
    empty = [f"{one.name}/" for one in listing.classes if not one.inside.images]
    if empty:
        notes.append(f"{listing.folder}: no image in {_shortened(empty)}")
    return tuple(notes)


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
