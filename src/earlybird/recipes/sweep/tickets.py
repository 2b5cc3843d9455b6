"""One search to its end, and from its record the tickets of all its cells."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from earlybird.anatomy import Anatomy
from earlybird.detectors.offline import draw_at
from earlybird.errors import JobError
from earlybird.recipes.run_directory import RESULT, RunDirectory, read_numbers, read_search, write_json
from earlybird.recipes.settings import Recipe
from earlybird.recipes.stages.draw import check_origin, draw_from, write_draw
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.replay import replay
from earlybird.recipes.stages.search import search
from earlybird.recipes.sweep.directory import SweepDirectory
from earlybird.recipes.sweep.outcome import guarded, is_settled, open_run, write_nothing_left
from earlybird.recipes.sweep.plan import Cell
from earlybird.recipes.training import discard_checkpoints
from earlybird.ticket import Ticket
from earlybird.trajectory import Trajectory


def draw_tickets(files: SweepDirectory, name: str, recipe: Recipe, cells: Sequence[Cell]) -> list[list[str]]:
    """Search, draw each cell's ticket, and keep what the continued ones need.

    A cell that cannot be drawn is written down as failed; if the search fails, so are all.

    A search that leaves the coefficients at 1 is the dense training too, and gives the dense cells what they ask for.

    Returns:
        Names of the cells that are to be trained; those of one list train the same network the same way, so that one
        training serves them all.
    """
    dense = [cell for cell in cells if cell.which == "dense"]
    tickets = [cell for cell in cells if cell.which != "dense"]
    groups: list[list[str]] = []
    with guarded(files, [cell for cell in tickets if not is_settled(files, cell)]):
        job = open_run(recipe)
        search(job)
        for cell in dense:
            _give_dense(open_run(cell.recipe), job)
        groups = _same_training(_drawn(files, name, job, tickets))
    # Where the search failed they are trained by themselves.
    return [*groups, *([cell.name] for cell in dense)]


def _give_dense(dense: Job, searched: Job) -> None:
    """Write what a search to the end gave as the dense network's, unless that has been trained."""
    if (dense.files.dense / RESULT).is_file():
        return
    result = read_search(searched.files.search / RESULT)
    gave = {key: value for key, value in result.items() if key not in ("total_steps", "settled", "draw_step")}
    write_json(dense.files.dense / RESULT, {**gave, **searched.costs(searched.initial_model())})
    discard_checkpoints(dense.files.dense)


def _drawn(files: SweepDirectory, name: str, job: Job, cells: Sequence[Cell]) -> list[Cell]:
    anatomy = job.anatomy()
    trajectory = Trajectory.open(job.files.trajectory)
    check_origin(trajectory, anatomy)
    dense = files.planned().keys() & {cell.dense for cell in cells}
    drawn: list[Cell] = []
    for cell in cells:
        # What is done stays so, even if it can serve no other cell any more.
        with guarded(files, [] if is_settled(files, cell) else [cell]):
            own = open_run(cell.recipe)
            _link(own.files.initial, job.files.initial)
            _link(own.files.trajectory, job.files.trajectory)
            if cell.dense in dense:
                _link(own.files.dense, RunDirectory(files.cell(cell.dense)).dense)
            _draw(own, cell, anatomy, trajectory, read_search(job.files.search / RESULT))
            if _anything_left(cell, trajectory):
                drawn.append(cell)
            else:
                write_nothing_left(files, cell)
    continued = [cell for cell in drawn if cell.weights == "continue" and not is_settled(files, cell)]
    with guarded(files, continued) as failed:
        replay(job, {_step(cell) for cell in continued}, files.kept(name))
        for cell in continued:
            _link(_files(cell).drawn, files.kept(name) / str(_step(cell)))
    return [cell for cell in drawn if cell.name not in failed]


def _draw(job: Job, cell: Cell, anatomy: Anatomy, trajectory: Trajectory, result: Mapping[str, Any]) -> None:
    """Draw a cell's ticket, and leave it as a run's stages do."""
    files, config = job.files, cell.recipe.search_config
    if files.draw.is_file() and files.ticket("ticket").is_file() and files.ticket("random").is_file():
        return
    verdict = draw_from(trajectory, config, cell.at)
    settled = cell.at is None and verdict is not None
    if verdict is None:
        if cell.recipe.search.unsettled == "fail":
            raise JobError(
                f"the masks did not settle within the {trajectory.steps} steps of the search by {config.detector};"
                " search.unsettled=draw draws at the end"
            )
        verdict = draw_at(trajectory, trajectory.steps - 1, config, "end")
    write_json(files.search / RESULT, {**result, "settled": settled, "draw_step": verdict.step if settled else None})
    write_draw(job, anatomy, Ticket.drawn(anatomy, verdict), verdict)


def _anything_left(cell: Cell, trajectory: Trajectory) -> bool:
    """Whether there are steps to train: a network continued from the end of the search has none."""
    own = cell.recipe.retraining
    return own.weights != "continue" or own.epochs is not None or _step(cell) + 1 < trajectory.total_steps


def _same_training(cells: Sequence[Cell]) -> list[list[str]]:
    """Groups of cells whose networks and trainings do not differ, although their draws may."""
    groups: dict[Any, list[str]] = {}
    for cell in cells:
        assert cell.which != "dense"
        ticket = Ticket.load(_files(cell).ticket(cell.which))
        masks = tuple((kind, mask.tobytes()) for kind, mask in sorted(ticket.masks.items()))
        step = _step(cell) if cell.weights == "continue" else None
        key = (cell.which, masks, step, cell.recipe.search.compensation, cell.recipe.retraining.model_dump_json())
        groups.setdefault(key, []).append(cell.name)
    return list(groups.values())


def _step(cell: Cell) -> int:
    return int(read_numbers(_files(cell).draw, ["step"])["step"])


def _files(cell: Cell) -> RunDirectory:
    return RunDirectory(Path(cell.recipe.output))


def _link(path: Path, target: Path) -> None:
    """A relative link, so that the sweep's directory may be moved."""
    if not path.is_symlink():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.path.relpath(target, path.parent), target_is_directory=True)
