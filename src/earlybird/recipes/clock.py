"""How long a training took, over all its interruptions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from earlybird.recipes.run_directory import read_json, write_json

CLOCK = "earlybird-clock.json"


class TrainingClock(TrainerCallback):
    """Wall-clock seconds from the first step to the last, checkpoints included, time between runs not.

    Args:
        resume: the checkpoint to go on from, which knows the seconds before it.
    """

    def __init__(self, resume: Path | None = None) -> None:
        self._before = float(read_json(resume / CLOCK)["seconds"]) if resume is not None else 0.0
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._before + time.perf_counter() - self._started

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Put the time into the checkpoint; this is the last file of it, so it marks the checkpoint as whole."""
        if state.is_world_process_zero and args.output_dir is not None:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_json(checkpoint / CLOCK, {"seconds": self.seconds})
