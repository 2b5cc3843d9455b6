"""The whole sweep: what is not done yet, on an engine's workers; an error is one cell's or one search's."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from earlybird.errors import JobError
from earlybird.recipes.sweep.directory import SweepDirectory
from earlybird.recipes.sweep.engines import Engine
from earlybird.recipes.sweep.outcome import is_settled, read_cell, write_failed
from earlybird.recipes.sweep.plan import Cell, Plan
from earlybird.recipes.sweep.tickets import draw_tickets
from earlybird.recipes.sweep.training import train_cells


@dataclass
class _Task:
    """A call for a worker, and the cells that fail with it."""

    what: str
    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    cells: list[Cell]
    submitted: float = 0.0


@dataclass(frozen=True)
class Finished:
    """A task that a worker has finished.

    Attributes:
        what: the search, or the cell.
        seconds: since a worker was asked for it, over which Ray may have let it wait.
        failures: why cells failed with it, by their names.
    """

    what: str
    seconds: float
    failures: Mapping[str, str]


def run_sweep(files: SweepDirectory, plan: Plan, engine: Engine, *, keep_models: bool = False) -> Iterator[Finished]:
    """Do what is not done yet; yields each task that is finished. Nothing is started where all is done.

    What fails is written down in the cells' files, and done again by the next call.
    """
    undone = [cell for cell in plan.cells.values() if not is_settled(files, cell)]
    ready = deque(_first_tasks(files, plan, undone, keep_models))
    suspects: deque[_Task] = deque()
    while ready or suspects:
        # Which of the tasks side by side has ended the pool is not known. Each goes on from its checkpoint, alone.
        alone = bool(suspects)
        waiting = deque([suspects.popleft()]) if alone else ready
        with engine.start() as executor:
            running: dict[Future[Any], _Task] = {}
            broken = False
            while (waiting and not broken) or running:
                while waiting and not broken and (engine.at_once is None or len(running) < engine.at_once):
                    task = waiting.popleft()
                    task.submitted = time.monotonic()
                    try:
                        future = executor.submit(_work, task.call, task.arguments, task.options, engine.threads)
                    except BrokenProcessPool:
                        waiting.appendleft(task)
                        broken = True
                    else:
                        running[future] = task
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    task = running.pop(future)
                    if isinstance(future.exception(), BrokenProcessPool) and not alone:
                        suspects.append(task)
                        broken = True
                        continue
                    ready.extend(_after(files, plan, task, future, keep_models))
                    yield Finished(task.what, time.monotonic() - task.submitted, _failures(files, task.cells))
    for name in plan.searches:
        if all(is_settled(files, cell) for cell in plan.cells.values() if cell.search == name):
            shutil.rmtree(files.kept(name), ignore_errors=True)


def _first_tasks(files: SweepDirectory, plan: Plan, undone: list[Cell], keep_models: bool) -> Iterator[_Task]:
    # The searches first: most of the cells wait for them.
    for name, recipe in plan.searches.items():
        fed = [cell for cell in plan.cells.values() if cell.search == name and not _trained_alone(cell, keep_models)]
        if waiting := [cell for cell in fed if cell in undone]:
            yield _Task(name, draw_tickets, (files, name, recipe, fed), {}, waiting)
    for cell in undone:
        if _trained_alone(cell, keep_models):
            yield _training(files, [cell], keep_models)


def _trained_alone(cell: Cell, keep_models: bool) -> bool:
    """Whether a cell waits for no search; one that served as the dense training has kept no weights of its end."""
    return cell.which == "dense" and (cell.search is None or keep_models)


def _training(files: SweepDirectory, cells: list[Cell], keep_models: bool) -> _Task:
    more = f" (and {len(cells) - 1} more with the same network)" if len(cells) > 1 else ""
    return _Task(f"{cells[0]}{more}", train_cells, (files, cells), {"keep_models": keep_models}, cells)


def _after(files: SweepDirectory, plan: Plan, task: _Task, future: Future[Any], keep_models: bool) -> Iterator[_Task]:
    """What a finished task makes possible; its error, if it ended with one, is that of its cells."""
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        error = JobError("its worker process ended without a word, and once more alone: killed, or out of memory")
    if error is not None:
        for cell in task.cells:
            # What a search would have served as is trained by itself.
            if task.call is draw_tickets and cell.which == "dense":
                yield _training(files, [cell], keep_models)
            else:
                write_failed(files, cell, error)
        return
    for names in future.result() or ():
        cells = [plan.cells[name] for name in names]
        if not all(is_settled(files, cell) for cell in cells):
            yield _training(files, cells, keep_models)


def _failures(files: SweepDirectory, cells: list[Cell]) -> dict[str, str]:
    found = {str(cell): read_cell(files, cell.name) for cell in cells}
    return {name: str(content["error"]) for name, content in found.items() if content.get("status") == "failed"}


def _work(call: Callable[..., Any], arguments: tuple[Any, ...], options: Mapping[str, Any], threads: int | None) -> Any:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    return call(*arguments, **options)
