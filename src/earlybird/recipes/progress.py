"""A progress bar with the loss and an estimate of the time left, for any training stage."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from earlybird.detectors.detection import Detection
from earlybird.search.search import Search

# Into a log go so many lines of a stage.
_LINES = 10


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
            draw = self._search.draw
            # After the draw nothing is watched any more.
            parts += _watched(self._search.detection) if draw is None else [f"drawn at step {draw.step}"]
        note = ", ".join(parts)
        self._progress.update(self._task, completed=state.global_step, note=note)
        if not self._progress.console.is_terminal and state.global_step % -(-state.max_steps // _LINES) == 0:
            left = self._progress.tasks[self._task].time_remaining
            parts = [f"{self._stage}: step {state.global_step} of {state.max_steps}", note]
            parts += [] if left is None else [f"{timedelta(seconds=round(left))} left"]
            self._progress.console.print(", ".join(filter(None, parts)), soft_wrap=True)

    def stop(self) -> None:
        """Leave the bar as it is."""
        self._progress.stop()


def _watched(detection: Detection) -> list[str]:
    """What each criterion says, and the statistic against its threshold; the kinds side by side."""
    watched = detection.values
    parts = [
        f"{criterion} " + "/".join(f"{values[criterion]:.4g}" for values in watched.values())
        for criterion in next(iter(watched.values()), {})
    ]
    statistics = [detector.statistic for detector in detection.detectors.values()]
    if any(statistic is not None for statistic in statistics):
        shown = "/".join("-" if statistic is None else f"{statistic:.3g}" for statistic in statistics)
        threshold = detection.factory.threshold
        parts.append(f"statistic {shown}" + ("" if threshold is None else f" (threshold {threshold:g})"))
    return parts
