"""The files of a model, written aside and moved into their directory together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

from transformers.utils import CONFIG_NAME, GENERATION_CONFIG_NAME

from earlybird.errors import JobError

_ASIDE = ".writing-"
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")


@contextmanager
def moved_in_together(directory: Path) -> Iterator[Path]:
    """Where to write a model's files, which then take the place of the model that a directory holds.

    An error while they are written leaves the directory as it was, and makes none, nor any above it. A process that is
    killed while they move leaves a directory without config.json, so that a mixture of two models is never loaded. What
    a killed process had written aside goes when the directory is written to next.

    Raises:
        JobError: no config or no weights were written.
    """
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    try:
        for left in directory.glob(f"{_ASIDE}*"):
            rmtree(left, ignore_errors=True)
        with TemporaryDirectory(dir=directory, prefix=_ASIDE) as aside:
            yield Path(aside)
            _move(Path(aside), directory)
    except BaseException:
        for path in made:
            with suppress(OSError):
                path.rmdir()
        raise


def _move(aside: Path, directory: Path) -> None:
    config = aside / CONFIG_NAME
    for what, there in (
        ("config", config.is_file()),
        ("weights", any(_WEIGHTS.fullmatch(path.name) for path in aside.iterdir())),
    ):
        if not there:
            raise JobError(f"{directory} is left as it was: the model's save_pretrained wrote no {what}")
    (directory / CONFIG_NAME).unlink(missing_ok=True)
    # One file or several: what is left of the other would be read in place of what is written now.
    for path in directory.iterdir():
        if _WEIGHTS.fullmatch(path.name) or path.name == GENERATION_CONFIG_NAME:
            path.unlink(missing_ok=True)
    for path in sorted(aside.iterdir(), key=lambda path: path == config):
        os.replace(path, directory / path.name)
