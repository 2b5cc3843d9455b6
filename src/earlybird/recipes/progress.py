"""A progress bar with the loss and an estimate of the time left, for any training stage."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from earlybird.search import Search


class ProgressBar(TrainerCallback):
    """Shows a stage's steps, its loss and, in a search, what the detector watches.

    Args:
        stage: what the bar is called.
        search: the search that runs, if one does.
    """

    def __init__(self, stage: str, search: Search | None = None) -> None:
        self._stage = stage
        self._search = search
        self._loss = ""
        self._progress = Progress(
            TextColumn("[bold]{task.description:<17}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            speed_estimate_period=120,
        )
        self._task = self._progress.add_task(stage, total=None, note="")

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start at the step that a resumed run is at."""
        if not self._progress.console.is_terminal:  # a log shows no bar until the stage is over
            self._progress.console.print(f"{self._stage}: from step {state.global_step} to {state.max_steps}")
        self._progress.start()
        self._progress.update(self._task, total=state.max_steps, completed=state.global_step)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Take the newest loss."""
        loss = kwargs["logs"].get("loss")
        if loss is not None:
            self._loss = f"loss {float(loss):.3f}"

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move on by a step."""
        parts = [self._loss] if self._loss else []
        if self._search is not None:
            watched = self._search.detection.values
            for criterion in next(iter(watched.values()), {}):
                parts.append(f"{criterion} " + "/".join(f"{values[criterion]:.4g}" for values in watched.values()))
        self._progress.update(self._task, completed=state.global_step, note=", ".join(parts))

    def stop(self) -> None:
        """Leave the bar as it is."""
        self._progress.stop()
