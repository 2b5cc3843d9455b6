"""The dense network, trained without coefficients: what the ticket is compared with."""

from __future__ import annotations

from earlybird.recipes.run_directory import RESULT, remove_whole
from earlybird.recipes.stages.job import Job
from earlybird.recipes.training import planned_steps, schedule_of, train


def train_dense(job: Job, *, force: bool = False) -> bool:
    """Train the initial model as it is; False if that was done before, and not to be done again."""
    directory = job.files.dense
    if (directory / RESULT).is_file() and not force:
        return False
    settings = job.recipe.training
    model = job.to_train(job.initial_model())
    if force:
        remove_whole(directory)
    outcome = train(
        job.recipe,
        settings,
        job.task,
        model,
        directory,
        stage="dense",
        schedule=schedule_of(job.task, settings),
        steps=planned_steps(job.task, settings),
    )
    job.write_trained(model, outcome, directory)
    return True
