"""The files of a model, which come into their directory together, at whatever moment the process is killed.

1. They are written into a directory of their own inside. When all of them are on the disk, it is renamed: now they are
   complete.
2. A config.json that nothing loads takes the place of the old one: now the new model counts. What else the new files
   take the place of goes.
3. Their directory is renamed once more: what lies outside now is new, or is not the model's. They move out one by one,
   config.json last.

So where config.json describes a model, that is whole, and what else was written inside is of no use any more. Where it
does not, complete files inside move out when somebody saves or loads there next.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from transformers.utils import CONFIG_NAME, GENERATION_CONFIG_NAME

from earlybird.atomic_write import names_to_disk, tree_to_disk
from earlybird.checkpoint import load_mark
from earlybird.checkpoint.directory_lock import locked
from earlybird.errors import InputError, JobError

_WRITING, _COMPLETE, _MOVING = ".earlybird-writing-", ".earlybird-complete", ".earlybird-moving"
# Among the new files, the config.json of the time until they have moved.
_INTERIM = ".config.json"
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")


class Processor(Protocol):
    """A tokenizer, an image processor, a feature extractor, or what holds several of them."""

    def save_pretrained(self, save_directory: str | os.PathLike[str], /) -> Any:
        """Write its files into a directory."""


@contextmanager
def moved_in_together(directory: Path, processor: Processor | None = None) -> Iterator[Path]:
    """Where to write a model's files, which then take the place of the model that a directory holds.

    An error while they are written leaves the directory as it was, and makes none, nor any above it. Of a process that
    is killed the directory holds the old model, or the new one once `at_rest` or this has finished its move. Several
    processes of one machine may write at once: their models come one after the other.

    Args:
        directory: of the model; made if needed.
        processor: whose files come along.

    Raises:
        JobError: no config or no weights were written.
        InputError: an interrupted save cannot be finished.
    """
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as held:
            with locked(directory):
                _finish(directory)
                _discard_abandoned(directory)
                aside = Path(held.enter_context(TemporaryDirectory(dir=directory, prefix=_WRITING)))
                # By this other processes see that it is not abandoned.
                held.enter_context(locked(aside))
            yield aside
            if processor is not None:
                processor.save_pretrained(aside)
            _refuse_incomplete(aside, directory)
            load_mark.write_interim(aside / CONFIG_NAME, aside / _INTERIM)
            tree_to_disk(aside)
            with locked(directory):
                _finish(directory)
                complete = aside.rename(directory / _COMPLETE)
                # That they are complete has to be on the disk before anything old goes.
                names_to_disk(directory)
                _take_over(complete, directory)
    except BaseException:
        for path in made:
            with suppress(OSError):
                path.rmdir()
        raise


@contextmanager
def at_rest(directory: Path) -> Iterator[None]:
    """Hold off the saves of this machine while a directory is read; one that was killed as its files moved is finished.

    Raises:
        InputError: it cannot be finished here.
    """
    while True:
        finish_interrupted(directory)
        with locked(directory, shared=True):
            if not _is_interrupted(directory):
                yield
                return


def finish_interrupted(directory: Path) -> None:
    """Finish the save of a process that was killed while its files moved.

    Raises:
        InputError: that is not possible here.
    """
    if _is_interrupted(directory):
        with locked(directory):
            _finish(directory)


def _is_interrupted(directory: Path) -> bool:
    return bool(_complete_inside(directory)) and not _describes_model(directory / CONFIG_NAME)


def _describes_model(config: Path) -> bool:
    return config.exists() and not load_mark.is_interim(config)


def _complete_inside(directory: Path) -> list[Path]:
    """Where new files lie complete; first those of which some have moved."""
    places = (directory / _MOVING, directory / _COMPLETE)
    return [place for place in places if place.is_dir() and not place.is_symlink()]


def _finish(directory: Path) -> None:
    """Finish a move that was interrupted; what is of no use any more goes."""
    try:
        for place in _complete_inside(directory):
            if _describes_model(directory / CONFIG_NAME) or not (place / CONFIG_NAME).is_file():
                rmtree(place)
            elif place.name == _COMPLETE:
                _take_over(place, directory)
            else:
                _move(place, directory)
    except (OSError, RecursionError) as error:
        raise InputError(
            f"a save to {directory} was interrupted, and cannot be finished: {error}; mend that and load or save again,"
            " or load a copy of the directory, with its hidden files, where that can be written to"
        ) from error


def _take_over(complete: Path, directory: Path) -> None:
    """Remove what complete files take the place of, config.json first, and move them in."""
    interim = complete / _INTERIM
    if interim.exists():  # as long as this was not interrupted
        os.replace(interim, directory / CONFIG_NAME)
    new = {path.name for path in complete.iterdir()}
    for path in directory.iterdir():
        # One file or several: what is left of the other would be read in place of what is written now.
        replaced = path.name in new or path.name == GENERATION_CONFIG_NAME or _WEIGHTS.fullmatch(path.name)
        if replaced and path.name != CONFIG_NAME and (path.is_symlink() or not path.is_dir()):
            path.unlink()
    names_to_disk(directory)
    _move(complete.rename(directory / _MOVING), directory)


def _move(moving: Path, directory: Path) -> None:
    """Move complete files in where there is nothing old any more, config.json last."""
    for path in moving.iterdir():
        if path.name != CONFIG_NAME:
            _place(path, directory / path.name)
    names_to_disk(directory)
    os.replace(moving / CONFIG_NAME, directory / CONFIG_NAME)
    names_to_disk(directory)
    moving.rmdir()


def _place(path: Path, target: Path) -> None:
    """Move a file, or what a directory holds into that of the same name; never through a link."""
    if path.is_symlink() or not path.is_dir():
        os.replace(path, target)
        return
    if target.is_symlink() or not target.is_dir():
        target.unlink(missing_ok=True)
        target.mkdir()
    for inner in path.iterdir():
        _place(inner, target / inner.name)
    names_to_disk(target)
    path.rmdir()


def _discard_abandoned(directory: Path) -> None:
    """Discard what killed processes had not written whole."""
    for aside in directory.glob(f"{_WRITING}*"):
        with locked(aside, wait=False) as abandoned:
            if abandoned:
                rmtree(aside, ignore_errors=True)


def _refuse_incomplete(aside: Path, directory: Path) -> None:
    for what, there in (
        ("config", (aside / CONFIG_NAME).is_file()),
        ("weights", any(_WEIGHTS.fullmatch(path.name) for path in aside.iterdir())),
    ):
        if not there:
            raise JobError(f"{directory} is left as it was: the model's save_pretrained wrote no {what}")
