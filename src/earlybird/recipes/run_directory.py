"""The run's directory: where each stage leaves its files, through which alone the stages meet.

recipe.yaml                        the resolved recipe
initial/                           the model before any training
search/trajectory/                 the record of the coefficients
search/drawn/                      model and optimizer state at the search's draw, coefficients folded in
search/result.json                 how the search went
draw.json, ticket.json             the draw and its ticket
random.json                        a random ticket of the same shape
pruned/{weights}/{which}/          pruned models; weights: rewind or continue, which: ticket or random
trained/dense/                     the dense network, trained
trained/dense-matched/             the same, for as many FLOPs as the ticket took
trained/{weights}/{which}/          the pruned ones, trained
summary.json, report.html, figures/
"""

from __future__ import annotations

import json
import os
import reprlib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earlybird.atomic_write import names_to_disk, tree_to_disk, write_whole
from earlybird.errors import InputError
from earlybird.recipes.metric_names import deciding_metric
from earlybird.ticket import FILE_NAME
from earlybird.vocabulary import Weights, Which


@dataclass(frozen=True)
class RunDirectory:
    """The paths of a run."""

    root: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe, YAML."""
        return self.root / "recipe.yaml"

    @property
    def initial(self) -> Path:
        """The model before any training."""
        return self.root / "initial"

    @property
    def search(self) -> Path:
        """The search stage."""
        return self.root / "search"

    @property
    def trajectory(self) -> Path:
        """The record of the coefficients."""
        return self.search / "trajectory"

    @property
    def drawn(self) -> Path:
        """Model and optimizer state at the search's draw."""
        return self.search / "drawn"

    @property
    def draw(self) -> Path:
        """What the draw was decided on, JSON."""
        return self.root / "draw.json"

    @property
    def dense(self) -> Path:
        """The dense training."""
        return self.root / "trained" / "dense"

    @property
    def dense_matched(self) -> Path:
        """The dense training that takes as many FLOPs as the ticket's."""
        return self.root / "trained" / "dense-matched"

    @property
    def summary(self) -> Path:
        """The run's outcome, JSON."""
        return self.root / "summary.json"

    @property
    def report(self) -> Path:
        """The report, HTML."""
        return self.root / "report.html"

    @property
    def stages(self) -> tuple[Path, ...]:
        """All that stages write, besides the recipe; what comes of a search before it."""
        files = (self.draw, self.ticket("ticket"), self.ticket("random"), self.summary, self.report)
        return (*files, *(self.root / name for name in ("figures", "trained", "pruned")), self.search, self.initial)

    def clear(self) -> None:
        """Remove what stages have written."""
        for path in self.stages:
            remove_whole(path)

    def ticket(self, which: Which) -> Path:
        """A ticket, JSON."""
        return self.root / f"{which}.json"

    def pruned(self, weights: Weights, which: Which) -> Path:
        """A pruned model before it trains on."""
        return self.root / "pruned" / weights / which

    def trained(self, weights: Weights, which: Which) -> Path:
        """A pruned model's training."""
        return self.root / "trained" / weights / which


def beside_model(directory: Path) -> dict[str, Path]:
    """What a run says of a trained model of its own: its ticket and the summary, by name; nothing of another model."""
    model = directory.resolve()
    if len(model.parents) < 4:
        return {}
    files = RunDirectory(model.parents[3])
    weights: tuple[Weights, ...] = ("rewind", "continue")
    kinds: tuple[Which, ...] = ("ticket", "random")
    which = next((kind for kind in kinds if model in [files.trained(each, kind) / "model" for each in weights]), None)
    if which is None:
        return {}
    found = {FILE_NAME: files.ticket(which), "summary.json": files.summary}
    return {name: path for name, path in found.items() if path.is_file()}


RESULT = "result.json"
# What no number in a result comes near, and every float can hold.
_BEYOND = 1e30


def write_json(path: Path, content: Any) -> None:
    """Write JSON in one move, so that the file is never seen half-written."""
    write_whole(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: the file is missing or damaged.
    """
    if not path.is_file():
        raise InputError(f"there is no {path}: the stage that writes it has not finished")
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        # 1e999, and half a surrogate pair, could not be written or printed again.
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged: it holds no JSON object")
    return content


def read_numbers(path: Path, names: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Any]:
    """As `read_json`, of an object in which these names are numbers; the optional ones may be missing or null.

    Raises:
        InputError: the file is missing or damaged, or lacks a number.
    """
    content = read_json(path)
    _check_numbers(path, content, [*names, *(name for name in optional if content.get(name) is not None)])
    return content


def read_result(path: Path, names: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Any]:
    """As `read_numbers`, of a result: the metric that decides is a number, too.

    Raises:
        InputError: the file is missing or damaged, or lacks a number.
    """
    content = read_numbers(path, names, optional)
    try:
        metric = deciding_metric(content)
    except InputError as error:
        raise InputError(f"{path} is damaged: {error}") from error
    _check_numbers(path, content, [metric])
    return content


def notes_in(content: Mapping[str, Any]) -> list[str]:
    """The notes on the data in a result or summary; [] in one of an earlier version."""
    notes = content.get("notes")
    return [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []


def read_search(path: Path) -> dict[str, Any]:
    """As `read_json`, of how a search went: `total_steps`, `settled` and `draw_step`.

    Raises:
        InputError: the file is missing or damaged, or one of these is not what it should be.
    """
    content = read_numbers(path, ["total_steps"])
    if type(content.get("settled")) is not bool:
        raise InputError(
            f"{path} is damaged: settled must be true or false, got {reprlib.repr(content.get('settled'))}"
        )
    if content["settled"]:
        _check_numbers(path, content, ["draw_step"])
    return content


def _check_numbers(path: Path, content: Mapping[str, Any], names: Iterable[str]) -> None:
    for name in names:
        value: Any = content.get(name)
        if type(value) not in (int, float) or not abs(value) < _BEYOND:
            raise InputError(f"{path} is damaged: {name} must be a number, got {reprlib.repr(value)}")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


def remove_whole(path: Path) -> None:
    """Remove a file or a directory, if it is there; a reader sees all of it, or nothing."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    aside = path.with_name(path.name + ".old")
    shutil.rmtree(aside, ignore_errors=True)  # of a removal that was killed
    os.replace(path, aside)
    shutil.rmtree(aside)


def replace_directory(finished: Path, target: Path) -> None:
    """Move a finished directory into place; a reader sees the old one, none, or the whole new one."""
    tree_to_disk(finished)
    remove_whole(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(finished, target)
    names_to_disk(target.parent)
