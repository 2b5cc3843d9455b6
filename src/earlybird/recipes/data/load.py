"""From a recipe's data settings to images, and the check ahead of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from earlybird.errors import InputError
from earlybird.recipes.data.classes import check_several_classes, class_notes, share_classes
from earlybird.recipes.data.counts import Counts
from earlybird.recipes.data.decoding import check_images
from earlybird.recipes.data.images import ImageData, ImageDataset, Statistics
from earlybird.recipes.data.limit import limited, under_limit
from earlybird.recipes.data.pixels import MODES
from earlybird.recipes.data.settings import ImageDataSettings
from earlybird.recipes.data.split import Split

if TYPE_CHECKING:
    from earlybird.recipes.data.table import Table


def load_images(
    settings: ImageDataSettings, image_size: int, channels: int, statistics: Statistics | None = None
) -> ImageData:
    """Return a recipe's images, `image_size` pixels wide and high, with 1 (grey) or 3 (RGB) channels.

    They are to be normalised by the statistics given, or by those of the training images.

    Raises:
        InputError: data are missing or malformed; the message names the path and what was expected there.
    """
    source = _read(settings, channels)
    train = ImageDataset(source.train, image_size, channels, settings.train_limit)
    evaluation = ImageDataset(source.evaluation, image_size, channels, settings.eval_limit)
    return ImageData(train, evaluation, source.labels, statistics or train.channel_statistics(), source.notes)


def fetch_images(settings: ImageDataSettings, channels: int = 3) -> Counts:
    """Download (hub) or check (local) a recipe's data ahead of training; every image that it uses is decoded once.

    Raises:
        InputError: data are missing or malformed; the message names the path and what was expected there.
    """
    source = _read(settings, channels)
    for split, limit in ((source.train, settings.train_limit), (source.evaluation, settings.eval_limit)):
        check_images(split, limited(len(split.labels), limit), 1, channels)
    return Counts(len(source.train.labels), len(source.evaluation.labels), source.labels, source.notes)


@dataclass(frozen=True)
class _Source:
    """Both splits before any limit, with one numbering of the classes, and what is to be told of those in use."""

    train: Split
    evaluation: Split
    labels: tuple[str, ...]
    notes: tuple[str, ...]


def _read(settings: ImageDataSettings, channels: int) -> _Source:
    if channels not in MODES:
        raise InputError(f"model.channels must be 1 (grey) or 3 (RGB) for images, got {channels}")
    train, evaluation, names = share_classes(*_read_source(settings))
    taken = train.labels[limited(len(train.labels), settings.train_limit)]
    judged = evaluation.labels[limited(len(evaluation.labels), settings.eval_limit)]
    where = under_limit(train.where, len(train.labels), "train_limit", settings.train_limit)
    check_several_classes(taken, names, where)
    return _Source(train, evaluation, names, (*train.notes, *evaluation.notes, *class_notes(taken, judged, names)))


def _read_source(settings: ImageDataSettings) -> tuple[Split, Split]:
    # Only the reader in use is imported: `datasets` and scikit-learn take seconds to start.
    match settings.format:
        case "hub":
            from earlybird.recipes.data.hub import read_hub

            return _splits(read_hub(settings), settings)
        case "parquet":
            from earlybird.recipes.data.parquet import read_parquet

            return _splits(read_parquet(settings), settings)
        case "image-folder":
            from earlybird.recipes.data.image_folder import read_image_folder

            return read_image_folder(settings)
        case "idx":
            from earlybird.recipes.data.idx import read_idx

            return read_idx(settings)
        case "digits":
            from earlybird.recipes.data.digits import read_digits

            return read_digits(settings.eval_share)


def _splits(tables: tuple[Table, Table], settings: ImageDataSettings) -> tuple[Split, Split]:
    from earlybird.recipes.data.columns import split_of_table

    return split_of_table(tables[0], settings), split_of_table(tables[1], settings)
