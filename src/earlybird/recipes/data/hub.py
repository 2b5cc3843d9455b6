"""A dataset on the Hugging Face hub."""

from __future__ import annotations

import pkgutil
from typing import get_args

import datasets
import datasets.packaged_modules

from earlybird.errors import InputError, nearest
from earlybird.recipes.data.settings import SourceSettings
from earlybird.recipes.data.table import Table


def read_hub(settings: SourceSettings) -> tuple[Table, Table]:
    """Return the training and evaluation split, downloaded once into the cache of `datasets`.

    Raises:
        InputError: the source is one of the readers of `datasets`, the download failed, or a split is not there.
    """
    _check_is_no_reader(settings)
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


def _check_is_no_reader(settings: SourceSettings) -> None:
    # "csv" would read the files of the current directory, and older releases unpickle for "pandas".
    readers = {module.name for module in pkgutil.iter_modules(datasets.packaged_modules.__path__)}
    source = settings.source.removeprefix("hf://datasets/")
    if source in readers:
        formats = [name for name in get_args(type(settings).model_fields["format"].annotation) if name != "hub"]
        raise InputError(
            f"data.source={settings.source} is no data set on the hub, `datasets` reads files by that name: to read a"
            f" directory set data.format and give it as data.source ({nearest(source, formats)})"
        )
