"""The whole job: every stage that the recipe asks for and that was not done before."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from earlybird.recipes.settings import Recipe
from earlybird.recipes.stages.dense import train_dense
from earlybird.recipes.stages.draw import draw
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.prune import prune_run
from earlybird.recipes.stages.retrain import retrain
from earlybird.recipes.stages.search import search
from earlybird.vocabulary import Weights, Which


def weights_of(recipe: Recipe) -> tuple[Weights, ...]:
    """What the pruned network starts from."""
    return ("rewind", "continue") if recipe.retraining.weights == "both" else (recipe.retraining.weights,)


def tickets_of(recipe: Recipe) -> tuple[Which, ...]:
    """Which tickets are trained."""
    return ("ticket", "random") if recipe.random else ("ticket",)


def run_stages(job: Job) -> Iterator[tuple[str, bool]]:
    """Run stage after stage; yields each one's name and whether there was anything to do."""
    job.check_detector(job.initial_model())
    stages: list[tuple[str, Callable[[], bool]]] = []
    if job.recipe.dense:
        stages.append(("dense", lambda: train_dense(job)))
    stages += [("search", lambda: search(job)), ("draw", lambda: draw(job))]
    for weights in weights_of(job.recipe):
        for which in tickets_of(job.recipe):
            stages.append((f"prune {which}, {weights}", lambda s=weights, w=which: prune_run(job, s, w)))  # type: ignore[misc]
            stages.append((f"train {which}, {weights}", lambda s=weights, w=which: retrain(job, s, w)))  # type: ignore[misc]
    for name, stage in stages:
        yield name, stage()
