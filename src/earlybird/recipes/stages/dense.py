"""The dense network, trained without coefficients: what the ticket is compared with, for as long or for as much."""

from __future__ import annotations

from pathlib import Path

from earlybird.recipes.run_directory import RESULT, read_numbers, read_result, remove_whole
from earlybird.recipes.settings import TrainingSettings
from earlybird.recipes.stages.job import Job
from earlybird.recipes.training import planned_steps, schedule_of, steps_per_epoch, train
from earlybird.vocabulary import Weights


def train_dense(job: Job, *, force: bool = False) -> bool:
    """Train the initial model as it is; False if that was done before, and not to be done again."""
    directory = job.files.dense
    if (directory / RESULT).is_file() and not force:
        return False
    return _train(job, job.recipe.training, directory, stage="dense", force=force)


def train_dense_matched(job: Job, weights: Weights) -> bool:
    """Train the initial model for as many steps as the FLOPs of the ticket's search and training buy, by a schedule so
    much shorter; False if that was done before.

    Args:
        job: the run, its ticket trained.
        weights: what the ticket trained on from.
    """
    directory = job.files.dense_matched
    if (directory / RESULT).is_file():
        return False
    ticket = read_result(job.files.trained(weights, "ticket") / RESULT, ("flops", "steps"))
    searched = int(read_numbers(job.files.draw, ["step"])["step"]) + 1
    flops = job.costs(job.initial_model())["flops"]
    steps = max(1, round(searched + ticket["steps"] * ticket["flops"] / flops))
    whole = job.recipe.training
    share = steps / planned_steps(job.task, whole)
    settings = whole.model_copy(
        update={
            "epochs": steps / steps_per_epoch(job.task, whole),
            "warmup_epochs": whole.warmup_epochs * share,
        }
    )
    return _train(job, settings, directory, stage="dense, matched")


def _train(job: Job, settings: TrainingSettings, directory: Path, *, stage: str, force: bool = False) -> bool:
    model = job.to_train(job.initial_model())
    if force:
        remove_whole(directory)
    outcome = train(
        job.recipe,
        settings,
        job.task,
        model,
        directory,
        stage=stage,
        schedule=schedule_of(job.task, settings),
        steps=planned_steps(job.task, settings),
    )
    job.write_trained(model, outcome, directory)
    return True
