"""A cell's file: what it gave, or why it gave nothing."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from earlybird import __version__
from earlybird.errors import InputError, JobError
from earlybird.recipes.run_directory import RESULT, read_json, read_result, read_search, write_json
from earlybird.recipes.settings import Recipe
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.search import DRAWN
from earlybird.recipes.stages.summary import summarise
from earlybird.recipes.sweep.directory import CELL, SweepDirectory
from earlybird.recipes.sweep.plan import Cell

Status = Literal["done", "nothing-left", "failed"]
_NUMBERS = ("train_seconds", "parameters", "flops")
_NUMBERS_OF_TICKETS = ("draw_step", "draw_fraction", "search_seconds", "replay_difference")


def open_run(recipe: Recipe) -> Job:
    """The run in a directory that only the sweep writes to, so that what is there belongs to it."""
    job = Job(recipe, Path(recipe.output))
    if not job.files.recipe.is_file():
        job.write_recipe()
    return job


def read_cell(files: SweepDirectory, name: str) -> dict[str, Any]:
    """A cell's file; {} where there is none, or a damaged one."""
    path = files.cell(name) / CELL
    try:
        cell = read_json(path)
        if cell.get("status") == "done":
            read_result(path, _NUMBERS, _NUMBERS_OF_TICKETS)
    except InputError:
        return {}
    sensible = (
        isinstance(cell.get("earlybird"), str)
        and isinstance(cell.get("settled", False), bool)
        and (cell.get("status") in ("done", "nothing-left") or isinstance(cell.get("error"), str))
    )
    return cell if sensible else {}


def is_settled(files: SweepDirectory, cell: Cell) -> bool:
    """Whether nothing is left to do for a cell; one that failed is to be done again."""
    return read_cell(files, cell.name).get("status") in ("done", "nothing-left")


def write_done(files: SweepDirectory, cell: Cell) -> None:
    """Write down what a cell's training gave."""
    job = open_run(cell.recipe)
    summary = summarise(job.files)
    result = {
        "metric": summary["metric"],
        "evaluation_examples": summary["evaluation_examples"],
        "notes": summary["notes"],
        **summary[cell.which],
        "threads": torch.get_num_threads(),
    }
    if cell.which == "ticket" and cell.at is None:
        result["settled"] = read_search(job.files.search / RESULT)["settled"]
    if cell.which != "dense" and cell.weights == "continue":
        result["replay_difference"] = read_json(job.files.drawn / DRAWN)["replay_difference"]
    _write(files, cell, "done", result)


def write_nothing_left(files: SweepDirectory, cell: Cell) -> None:
    """Write down that a network continued from the end of the search has no step to train."""
    _write(files, cell, "nothing-left", {})


def write_failed(files: SweepDirectory, cell: Cell, error: BaseException) -> None:
    """Write down why a cell failed, and where if it is not one of our own errors."""
    open_run(cell.recipe)
    expected = isinstance(error, (InputError, JobError))
    result = {"error": " ".join(str(error).split()) if expected else f"{type(error).__name__}: {error}"}
    if not expected:
        result["traceback"] = "".join(traceback.format_exception(error))
    _write(files, cell, "failed", result)


@contextlib.contextmanager
def guarded(files: SweepDirectory, cells: Sequence[Cell]) -> Iterator[list[str]]:
    """Whatever goes wrong within is these cells' failure, and no other's; gives the list that their names go to."""
    failed: list[str] = []
    try:
        yield failed
    except Exception as error:
        for cell in cells:
            write_failed(files, cell, error)
            failed.append(cell.name)


def _write(files: SweepDirectory, cell: Cell, status: Status, result: dict[str, Any]) -> None:
    content = {"earlybird": __version__, "status": status, **cell.labels, "dense": cell.dense, **result}
    write_json(files.cell(cell.name) / CELL, content)
