"""Train with slimming, record the trajectory, stop at the draw."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch
from transformers import PreTrainedModel, TrainerCallback

from earlybird.errors import JobError
from earlybird.integrations.search_callback import SearchCallback
from earlybird.recipes.adapters import save_with_adapters
from earlybird.recipes.optimizer_state import OPTIMIZER, optimizer_state_by_name, write_optimizer_state
from earlybird.recipes.run_directory import RESULT, read_search, replace_directory, write_json
from earlybird.recipes.stages.job import Job
from earlybird.recipes.training import discard_checkpoints, planned_steps, schedule_of, steps_per_epoch, train
from earlybird.search.recording import Recording
from earlybird.search.search import Search
from earlybird.slimming import scaling

DRAWN = "drawn.json"


def search(job: Job) -> bool:
    """Run the search; False if that was done before.

    Raises:
        JobError: the masks never settled, and the recipe says that this is a failure.
    """
    files, recipe = job.files, job.recipe
    if (files.search / RESULT).is_file():
        _check_settled(job)
        return False
    settings, wanted = recipe.training, recipe.search
    model = job.to_train(job.initial_model())
    total = planned_steps(job.task, settings)
    searches: list[Search] = []

    def attach(state: Path | None) -> tuple[Search, TrainerCallback]:
        attached = attached_search(job, model, files.trajectory, state)
        searches.append(attached)
        callback = SearchCallback(
            attached,
            learning_rate=settings.learning_rate,
            on_draw=lambda optimizer: save_drawn(attached, model, optimizer, files.drawn),
            stop_at_draw=not wanted.to_the_end,
            # Even if that is a failure: it keeps the weights to go on from, should the recipe think better of it.
            draw_at_end=True,
        )
        return attached, callback

    outcome = train(
        recipe,
        settings,
        job.task,
        model,
        files.search,
        stage="search",
        schedule=schedule_of(job.task, settings),
        steps=total,
        attach=attach,
    )
    finished = searches[0]
    finished.close()
    draw = finished.draw
    settled = draw is not None and draw.how == "detector"
    result = {
        **outcome.as_json(),
        "total_steps": total,
        "settled": settled,
        "draw_step": draw.step if draw is not None and settled else None,
    }
    write_json(files.search / RESULT, result)
    discard_checkpoints(files.search)
    _check_settled(job)
    return True


def attached_search(job: Job, model: PreTrainedModel, record: Path, state: Path | None) -> Search:
    """The recipe's search on a model, from a checkpoint's state or anew (None).

    Args:
        job: the run.
        model: on its device.
        record: where the trajectory goes; what is there is removed if the search begins anew, which it does if it
            was killed before its first checkpoint.
        state: written by the search that goes on.
    """
    settings, config = job.recipe.training, job.recipe.search_config
    if config.learning_rate is None:
        config = replace(config, learning_rate=settings.learning_rate)
    return Search(
        model,
        config,
        total_steps=planned_steps(job.task, settings),
        steps_per_epoch=steps_per_epoch(job.task, settings),
        recording=Recording(record, resume=state, overwrite=True, gradients=job.recipe.search.record == "all"),
        # The weights kept at the draw are to be those of its step.
        delay=0,
    )


def _check_settled(job: Job) -> None:
    wanted, result = job.recipe.search, read_search(job.files.search / RESULT)
    if wanted.unsettled == "fail" and not result["settled"]:
        raise JobError(
            f"the masks did not settle within the {result['total_steps']} steps of the search by detector"
            f" {wanted.detector}; draw at the end with search.unsettled=draw, which needs no new search, train longer,"
            " or choose another detector"
        )


def save_drawn(
    search: Search,
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    target: Path,
    *,
    replay_difference: float | None = None,
) -> None:
    """Keep the model, coefficients folded in, and the optimizer's state as they are now, to continue from.

    `replay_difference` is that of a search run again from the search itself, see `replay`.
    """
    making = target.with_name(target.name + ".tmp")
    folded = copy.deepcopy(model)
    scaling.fold(folded)
    save_with_adapters(folded, making)
    write_optimizer_state(making / OPTIMIZER, optimizer_state_by_name(optimizer, model))
    write_json(making / DRAWN, {"step": search.steps - 1, "replay_difference": replay_difference})
    replace_directory(making, target)
