"""Images in files: one folder per class below one folder per split, or a metadata file with the labels."""

from __future__ import annotations

from pathlib import Path

from earlybird.errors import InputError
from earlybird.recipes.data.class_folders import split_of_classes
from earlybird.recipes.data.directory import source_directory
from earlybird.recipes.data.folder_listing import METADATA, FolderListing, list_folder
from earlybird.recipes.data.folder_metadata import split_of_metadata
from earlybird.recipes.data.settings import ImageDataSettings
from earlybird.recipes.data.split import Split


def read_image_folder(settings: ImageDataSettings) -> tuple[Split, Split]:
    """Return the training and evaluation split of `{split}/{class}/{file}`; the folders name the classes.

    Where `data.label_column` is set, or the images of a split lie in no folders, a metadata file in the folder of the
    split labels them.

    Raises:
        InputError: a folder is missing, holds no images, holds images outside the class folders, or holds a class
            none of whose files can be read; or metadata are unreadable, or not there for both splits.
    """
    directory = source_directory(settings, "one folder per class below one folder per split")
    listings = [_listing(directory, split) for split in (settings.train_split, settings.eval_split)]
    without = [listing.folder for listing in listings if not listing.everything.metadata]
    if settings.label_column is not None and without:
        raise InputError(
            f"data.label_column={settings.label_column} is a column of a metadata file, and {without[0]} holds no"
            f" {', '.join(METADATA[:-1])} or {METADATA[-1]}: put one into every split, or set data.label_column=null,"
            " so that the folders name the classes"
        )
    train, evaluation = (_split(listing, settings) for listing in listings)
    return train, evaluation


def _listing(directory: Path, split: str) -> FolderListing:
    folder = directory / split
    if not folder.is_dir():
        present = ", ".join(sorted(path.name for path in directory.iterdir() if path.is_dir())[:20])
        raise InputError(
            f"{directory} has no folder {split!r}: expected {split}/CLASS/FILE, found {present or 'no folder'}"
        )
    return list_folder(folder)


def _split(listing: FolderListing, settings: ImageDataSettings) -> Split:
    if listing.everything.metadata and (settings.label_column is not None or not listing.has_classes):
        return split_of_metadata(listing, settings)
    return split_of_classes(listing)
