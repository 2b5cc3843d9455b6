"""The files below the folder of a split: images by class, images elsewhere, what cannot be read, metadata."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from earlybird.errors import InputError

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
# What operating systems leave in folders, besides hidden files.
_RESIDUE = ("thumbs.db", "desktop.ini", "__macosx")


@dataclass(frozen=True)
class Files:
    """Paths, sorted: images (by the ending), those that are none, and metadata of images."""

    images: tuple[str, ...]
    unread: tuple[str, ...]
    metadata: tuple[str, ...]


@dataclass(frozen=True)
class ClassFolder:
    """A folder in the folder of a split: the files that lie in it, and those in folders below it."""

    path: str
    inside: Files
    below: Files

    @property
    def name(self) -> str:
        """What a class would be called after it."""
        return os.path.basename(self.path)


@dataclass(frozen=True)
class FolderListing:
    """The folder of a split: the folders in it, and the files beside these. Hidden files and folders are left out."""

    folder: Path
    classes: tuple[ClassFolder, ...]
    beside: Files

    @property
    def has_classes(self) -> bool:
        """Whether images lie in folders, so that these can be classes."""
        return any(folder.inside.images or folder.below.images for folder in self.classes)

    @property
    def everything(self) -> Files:
        """The files of all folders."""
        parts = [self.beside, *(part for folder in self.classes for part in (folder.inside, folder.below))]
        return Files(
            tuple(path for part in parts for path in part.images),
            tuple(path for part in parts for path in part.unread),
            tuple(path for part in parts for path in part.metadata),
        )


def list_folder(folder: Path) -> FolderListing:
    """List what lies below the folder of a split.

    Raises:
        InputError: the folder, or one below it, cannot be listed.
    """
    try:
        beside, folders = _entries(str(folder))
        classes = []
        for path in folders:
            files, deeper = _entries(path)
            classes.append(ClassFolder(path, _sorted_out(files), _sorted_out(_below(deeper))))
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error}") from error
    return FolderListing(folder, tuple(classes), _sorted_out(beside))


def counted(paths: Sequence[str]) -> str:
    """How many files these are, and of which endings: "6 files (5 .heic, 1 without ending)"."""
    endings = Counter(_ending(path) or "without ending" for path in paths)
    shown = ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common())
    return f"{len(paths):,} {'file' if len(paths) == 1 else 'files'} ({shown})"


def _entries(folder: str) -> tuple[list[str], list[str]]:
    """The files and the folders in a folder, sorted; a link that leads nowhere is a file that cannot be read."""
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not entry.name.startswith(".") and entry.name.lower() not in _RESIDUE:
                (folders if entry.is_dir() else files).append(entry.path)
    return files, folders


def _below(folders: Sequence[str], above: frozenset[str] = frozenset()) -> Iterator[str]:
    """The files in these folders and below; `above` keeps a link from leading round in a circle."""
    for folder in folders:
        real = os.path.realpath(folder)
        if real not in above:
            files, deeper = _entries(folder)
            yield from files
            yield from _below(deeper, above | {real})


def _sorted_out(paths: Iterator[str] | Sequence[str]) -> Files:
    readable = {ending for ending, form in Image.registered_extensions().items() if form in Image.OPEN}
    metadata, images, unread = [], [], []
    for path in paths:
        if os.path.basename(path).lower() in METADATA:
            metadata.append(path)
        elif _ending(path) in readable:
            images.append(path)
        else:
            unread.append(path)
    return Files(tuple(images), tuple(unread), tuple(metadata))


def _ending(path: str) -> str:
    return os.path.splitext(path)[1].lower()
