"""The whole job: every stage that the recipe asks for and that was not done before."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from earlybird.recipes.run_directory import read_numbers
from earlybird.recipes.settings import Recipe
from earlybird.recipes.stages.dense import train_dense, train_dense_matched
from earlybird.recipes.stages.draw import draw
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.prune import prune_run
from earlybird.recipes.stages.retrain import retrain
from earlybird.recipes.stages.search import search
from earlybird.recipes.training import planned_steps
from earlybird.vocabulary import Weights, Which

_log = logging.getLogger(__name__)


def weights_of(recipe: Recipe) -> tuple[Weights, ...]:
    """What the pruned network starts from."""
    weights = recipe.retraining.weights
    assert weights is not None  # the recipe says them
    return ("rewind", "continue") if weights == "both" else (weights,)


def tickets_of(recipe: Recipe) -> tuple[Which, ...]:
    """Which tickets are trained."""
    return ("ticket", "random") if recipe.random else ("ticket",)


def run_stages(job: Job) -> Iterator[tuple[str, bool]]:
    """Run stage after stage; yields each one's name and whether there was anything to do."""
    job.check_detector(job.to_train(job.initial_model()))
    if job.recipe.dense:
        yield "dense", train_dense(job)
    yield "search", search(job)
    yield "draw", draw(job)
    starts = _starts(job)
    for weights in starts:
        for which in tickets_of(job.recipe):
            yield f"prune {which}, {weights}", prune_run(job, weights, which)
            yield f"train {which}, {weights}", retrain(job, weights, which)
    if job.recipe.dense_matched:
        yield "dense, matched", train_dense_matched(job, starts[0])


def _starts(job: Job) -> list[Weights]:
    """What the recipe asks for; where the draw leaves nothing to continue, the small network trains all the same."""
    asked = weights_of(job.recipe)
    if "continue" not in asked or job.recipe.retraining.epochs is not None:
        return list(asked)
    drawn = read_numbers(job.files.draw, ["step"])["step"]
    if drawn + 1 < planned_steps(job.task, job.recipe.training):
        return list(asked)
    _log.warning(
        "the draw at the last step of the search leaves nothing to continue: the small network trains from the initial"
        " weights, as by retraining.weights=rewind"
    )
    return ["rewind"]
