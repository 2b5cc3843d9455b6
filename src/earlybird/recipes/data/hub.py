"""A dataset on the Hugging Face hub."""

from __future__ import annotations

import datasets

from earlybird.errors import InputError
from earlybird.recipes.data.settings import SourceSettings
from earlybird.recipes.data.table import Table


def read_hub(settings: SourceSettings) -> tuple[Table, Table]:
    """Return the training and evaluation split, downloaded once into the cache of `datasets`.

    Raises:
        InputError: the download failed, or a split is not there.
    """
    name = settings.source + (f" ({settings.config})" if settings.config else "")
    try:
        splits = datasets.load_dataset(settings.source, settings.config)
    except Exception as error:  # An unknown name, no network, a full disk: each layer has its own exceptions.
        raise InputError(
            f"the dataset {name} could not be loaded from the Hugging Face hub ({error}): fetch it ahead "
            "where there is a network with `earlybird data RECIPE`, or read a local Parquet copy with "
            "data.format=parquet data.source=DIR"
        ) from error

    def read(split: str) -> Table:
        if split not in splits:
            raise InputError(f"the dataset {name} has no split {split!r}: it has {', '.join(splits)}")
        return Table(splits[split], f"split {split!r} of {name}")

    return read(settings.train_split), read(settings.eval_split)
