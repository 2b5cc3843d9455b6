"""The search a second time, to keep the weights at steps that only its record could tell."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from earlybird.integrations.search_callback import SearchCallback
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.search import DRAWN, attached_search, save_drawn
from earlybird.recipes.training import last_whole_checkpoint, planned_steps, schedule_of, train
from earlybird.search.search import Search
from earlybird.trajectory import Trajectory


def replay(job: Job, steps: Collection[int], target: Path) -> bool:
    """Run a finished search again and keep weights and optimizer state at some steps; False if they are all there.

    They are kept as the search keeps those of its own draw, each step in a directory of its name. On a CPU with the
    same number of threads the replay is the search to the last bit; elsewhere it may differ. `DRAWN` says by how
    much the two records do at most up to the step (`replay_difference`).

    Args:
        job: the search's run.
        steps: 0-based steps of the search.
        target: holds a directory per step.

    Raises:
        InputError: the search's record is damaged.
    """
    missing = {step for step in steps if not (target / str(step) / DRAWN).is_file()}
    if not missing:
        return False
    settings, directory = job.recipe.training, job.files.root / "replay"
    checkpoint = last_whole_checkpoint(directory / "checkpoints", searching=True)
    if checkpoint is not None and int(checkpoint.name.rpartition("-")[2]) > min(missing):
        shutil.rmtree(directory)
    model = job.to_train(job.initial_model())
    record = directory / "trajectory"
    searches: list[Search] = []

    def attach(state: Path | None) -> tuple[Search, TrainerCallback]:
        searches.append(attached_search(job, model, record, state))
        return searches[0], _Keep(searches[0], job, model, record, missing, target)

    train(
        job.recipe,
        settings,
        job.task,
        model,
        directory,
        stage="replay",
        schedule=schedule_of(job.task, settings),
        steps=planned_steps(job.task, settings),
        attach=attach,
    )
    searches[0].close()
    shutil.rmtree(directory)
    return True


class _Keep(SearchCallback):
    """Drives a search and keeps the weights at some steps, to the last of which it runs."""

    def __init__(
        self, search: Search, job: Job, model: PreTrainedModel, record: Path, steps: set[int], target: Path
    ) -> None:
        super().__init__(search, learning_rate=job.recipe.training.learning_rate, stop_at_draw=False)
        self._first = job.files.trajectory
        self._record = record
        self._model = model
        self._steps = steps
        self._target = target

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Observe the step; keep it if it is one of those asked for."""
        super().on_step_end(args, state, control, **kwargs)
        step = self.search.steps - 1
        if step in self._steps:
            self.search.flush()
            save_drawn(
                self.search,
                self._model,
                kwargs["optimizer"],
                self._target / str(step),
                replay_difference=_largest_difference(self._first, self._record),
            )
        if step >= max(self._steps):
            control.should_training_stop = True


def _largest_difference(first: Path, again: Path) -> float:
    """Largest absolute difference of two records over the steps that both have."""
    search, replayed = Trajectory.open(first), Trajectory.open(again)
    steps = min(search.steps, replayed.steps)
    return max(
        float(np.max(np.abs(search.evidence(kind, channel)[:steps] - replayed.evidence(kind, channel)[:steps])))
        for kind in search.kinds
        for channel in search.shape.channels
    )
