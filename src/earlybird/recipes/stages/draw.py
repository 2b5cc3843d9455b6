"""Draw a ticket from a recorded trajectory: by a detector, at a given step, or at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

from earlybird.anatomy import Anatomy
from earlybird.config import PruningConfig, SearchConfig, replaced_pruning
from earlybird.detectors.draw import Draw
from earlybird.detectors.offline import detected, detection_of, draw_at
from earlybird.errors import InputError, JobError
from earlybird.masks import UnitCosts
from earlybird.recipes.run_directory import RESULT, read_search, remove_whole, write_json
from earlybird.recipes.stages.job import Job
from earlybird.spans import Span, parse_span
from earlybird.ticket import Ticket
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import KINDS, Weights


def draw_from(
    trajectory: Trajectory, config: SearchConfig, at: Span | None = None, costs: UnitCosts | None = None
) -> Draw | None:
    """The draw from a trajectory by a recipe's settings, or at a span from its beginning whatever they say.

    With a budget `costs` are those of the units, where the trajectory does not tell them.

    Raises:
        InputError: a setting out of bounds, or a step that was not recorded.
    """
    if at is not None:
        total, per_epoch = trajectory.total_steps, trajectory.shape.steps_per_epoch
        step = int(at.amount) if at.unit == "steps" else at.steps(total, per_epoch) - 1
        return draw_at(trajectory, step, config, costs=costs)
    return detected(trajectory, detection_of(trajectory, config, costs))


def draw(job: Job, *, force: bool = False) -> bool:
    """Draw the run's ticket by its recipe, and a random one of the same shape; False if that was done before.

    Raises:
        InputError: the search has not finished, or its record is of another model.
        JobError: nothing settled and the recipe calls that a failure, or the record contradicts the search.
    """
    files, config = job.files, job.recipe.search_config
    if files.draw.is_file() and files.ticket("ticket").is_file() and files.ticket("random").is_file() and not force:
        return False
    result = read_search(files.search / RESULT)
    anatomy = job.anatomy()
    trajectory = Trajectory.open(files.trajectory)
    check_origin(trajectory, anatomy)
    verdict = draw_from(trajectory, config)
    drawn_at = result["draw_step"] if result["settled"] else None
    if (None if verdict is None else verdict.step) != drawn_at:
        raise JobError(
            f"the record in {files.trajectory} gives a draw at {verdict and verdict.step}, the search drew at"
            f" {drawn_at}: one of them was changed"
        )
    if verdict is None:
        verdict = draw_at(trajectory, trajectory.steps - 1, config, "end")
    write_draw(job, anatomy, Ticket.drawn(anatomy, verdict), verdict)
    return True


def draw_ticket(
    job: Job,
    changes: Mapping[str, Any],
    *,
    at: str | None,
    random_seed: int | None,
    output: Path | None,
    force: bool,
) -> tuple[Ticket, Path]:
    """A ticket from a run's record by other settings than the recipe's, for the command line.

    Args:
        job: the run.
        changes: of the recipe's `search` settings.
        at: a span from the start of the run, instead of a detector.
        random_seed: at random, instead of a detector.
        output: where the ticket goes; by default it becomes the run's own, which one at random cannot.
        force: replace the run's own ticket, or the file that is there.

    Returns:
        The ticket, and the file it was written to.

    Raises:
        InputError: a setting out of bounds, a ticket that is there already, or nothing settled.
    """
    own = job.files.ticket("ticket")
    if output is not None and output.resolve() == own.resolve():
        output = None
    if random_seed is not None and output is None:
        raise InputError("a ticket at random is no draw of the run: give --output to say where it goes")
    if random_seed is not None and (at is not None or "detector" in changes):
        raise InputError("a ticket is drawn at random, at a step or by a detector: give only one of them")
    if output is not None:
        _refuse(output, job, force=force)
    target = output or own
    if output is None and target.is_file() and not force:
        if not changes and at is None:
            return Ticket.load(target), target
        raise InputError(f"{target} was drawn before; give --output to write elsewhere, or --force to replace it")
    config = replace(job.recipe.search_config, **replaced_pruning(job.recipe.search_config, changes))
    # As long as the model lives its units can be counted.
    model = job.initial_model()
    anatomy = job.anatomy(model)
    if random_seed is not None:
        # A kind with the ratio 0 has no masks in a drawn ticket, either.
        pruning = {each.name: getattr(config, each.name) for each in fields(PruningConfig)}
        pruning |= {kind: pruning[kind] or None for kind in KINDS}
        costs = job.unit_costs(model, anatomy, config)
        ticket = Ticket.random(anatomy, PruningConfig(**pruning), seed=random_seed, costs=costs)
        ticket.save(target)
        return ticket, target
    trajectory = Trajectory.open(job.files.trajectory)
    check_origin(trajectory, anatomy)
    costs = job.unit_costs(model, anatomy, config)
    verdict = draw_from(trajectory, config, parse_span(at), costs)
    if verdict is None:
        raise InputError(
            f"the masks did not settle by {config.detector} within the {trajectory.steps} recorded steps of"
            f" {trajectory.total_steps}; draw at a step of your choice with --at"
        )
    ticket = Ticket.drawn(anatomy, verdict)
    if output is None:
        write_draw(job, anatomy, ticket, verdict)
    else:
        ticket.save(output)
    return ticket, target


def write_draw(job: Job, anatomy: Anatomy, ticket: Ticket, verdict: Draw) -> None:
    """Write a draw, its ticket and a random ticket of the same shape into the run's directory.

    What was pruned and trained by the tickets that they replace is removed: it would pass for theirs.
    """
    # The last to be written: where it is, the tickets are its own.
    job.files.draw.unlink(missing_ok=True)
    for weights in get_args(Weights):
        for stage in (job.files.pruned(weights, "ticket").parent, job.files.trained(weights, "ticket").parent):
            remove_whole(stage)
    ticket.save(job.files.ticket("ticket"))
    random = ticket.shuffled_on(anatomy, job.recipe.seed)
    random.save(job.files.ticket("random"))
    write_json(job.files.draw, {**verdict.description(), "versions": ticket.provenance["versions"]})


def _refuse(output: Path, job: Job, *, force: bool) -> None:
    """Raise InputError where a ticket must not be written."""
    if output.is_dir():
        raise InputError(f"{output} is a directory; give --output the name of a file")
    if output.resolve() == job.files.ticket("random").resolve():
        raise InputError(f"{output} is the run's random ticket, of the shape of the drawn one; choose another --output")
    if output.exists() and not force:
        raise InputError(f"{output} is there already; choose another --output, or replace it with --force")


def check_origin(trajectory: Trajectory, anatomy: Anatomy) -> None:
    """Raise InputError unless a trajectory was recorded on a model of this anatomy."""
    if trajectory.shape.model != anatomy.fingerprint:
        raise InputError(
            f"the trajectory is from another model: it was recorded on {trajectory.shape.model or 'an unnamed one'}"
            f" with blocks of {dict(trajectory.shape.units)}, {anatomy.model} here has {anatomy.units}"
        )
