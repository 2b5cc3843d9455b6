"""Train a pruned network on: all the way from the initial weights, or from the draw to the search's end."""

from __future__ import annotations

import dataclasses

from pydantic import ValidationError

from earlybird.errors import InputError
from earlybird.recipes.adapters import load_with_adapters
from earlybird.recipes.optimizer_state import OPTIMIZER, read_optimizer_state
from earlybird.recipes.recipe_file import first_problem
from earlybird.recipes.run_directory import RESULT, remove_whole
from earlybird.recipes.settings import RetrainingSettings, TrainingSettings
from earlybird.recipes.stages.job import Job
from earlybird.recipes.training import planned_steps, schedule_of, train
from earlybird.ticket import Ticket
from earlybird.vocabulary import Weights, Which


def retrain(job: Job, weights: Weights, which: Which, *, force: bool = False) -> bool:
    """Train the pruned model; False if that was done before, and not to be done again.

    Rewound, it trains as long as the search was planned to, by the same schedule, unless the recipe's
    `retraining` says otherwise. Continued, it goes on along the search's schedule from the step after the draw
    to its end; if `retraining` sets anything, it trains the remaining steps (or its own epochs) by a schedule
    of its own.

    Raises:
        InputError: the model was not pruned yet, or nothing is left to continue.
    """
    directory = job.files.trained(weights, which)
    if (directory / RESULT).is_file() and not force:
        return False
    pruned = job.files.pruned(weights, which)
    if not pruned.is_dir():
        raise InputError(f"there is no pruned model in {pruned}: run `earlybird prune` first")
    own = job.recipe.retraining
    settings = retraining_settings(job.recipe.training, own)
    steps, offset, state = planned_steps(job.task, settings), 0, None
    if weights == "continue":
        state = read_optimizer_state(pruned / OPTIMIZER)
        behind = int(Ticket.load(job.files.ticket(which)).provenance["draw_step"]) + 1
        if own.epochs is None:
            steps -= behind
        if not _sets_anything(own):
            offset = behind
        if steps < 1:
            raise InputError("the draw was at the last step of the search: give retraining.epochs to train on")
    schedule = schedule_of(job.task, settings, offset)
    if weights == "continue" and not offset:
        schedule = dataclasses.replace(schedule, total=steps, warmup=min(schedule.warmup, steps // 2))
    model = job.to_train(load_with_adapters(pruned))
    if force:
        remove_whole(directory)
    outcome = train(
        job.recipe,
        settings,
        job.task,
        model,
        directory,
        stage=f"{which}, {'rewound' if weights == 'rewind' else 'continued'}",
        schedule=schedule,
        steps=steps,
        optimizer_state=state,
    )
    job.write_trained(model, outcome, directory)
    return True


def retraining_settings(training: TrainingSettings, own: RetrainingSettings) -> TrainingSettings:
    """The search's training settings with what the retraining sets differently.

    Raises:
        InputError: together they make no sense.
    """
    changes = {key: value for key, value in own.model_dump(exclude={"weights"}).items() if value is not None}
    try:
        return TrainingSettings.model_validate({**training.model_dump(), **changes})
    except ValidationError as error:
        raise InputError(f"retraining: {first_problem(error, TrainingSettings)}") from error


def _sets_anything(own: RetrainingSettings) -> bool:
    return any(value is not None for value in own.model_dump(exclude={"weights"}).values())
