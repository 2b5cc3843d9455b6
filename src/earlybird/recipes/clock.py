"""How long a training took, over all its interruptions, and how good it was after how long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from earlybird.config import is_number
from earlybird.recipes.machine_work import MachineWork
from earlybird.recipes.run_directory import read_numbers, write_json

CLOCK = "earlybird-clock.json"


class TrainingClock(TrainerCallback):
    """Wall-clock seconds from the first step to the last, checkpoints included; not evaluations, nor time between runs.

    Args:
        resume: the checkpoint to go on from, which knows the seconds before it.

    Attributes:
        work: what kept the processors busy meanwhile.
        evaluations: those on the way: step, seconds of training up to it, metrics.
    """

    def __init__(self, resume: Path | None = None) -> None:
        before: dict[str, Any] = {"seconds": 0.0} if resume is None else read_numbers(resume / CLOCK, ["seconds"])
        self._before = float(before["seconds"])
        written = _three_numbers(before.get("work"))
        self._all_known = resume is None or written is not None
        self._work_before = written or (0.0, 0.0, 0.0)
        self.work = MachineWork(*self._work_before)
        self._started = time.perf_counter()
        self.evaluations: list[dict[str, float]] = before.get("evaluations", [])

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._before + time.perf_counter() - self._started

    @property
    def cpu_seconds(self) -> float | None:
        """Core-seconds of this training so far, evaluations left out; None where its checkpoint did not count them."""
        return self.work.so_far()[1] if self._all_known else None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self._started = time.perf_counter()
        self.work = MachineWork(*self._work_before)

    @contextmanager
    def evaluating(self, step: int) -> Iterator[dict[str, float]]:
        """Stand still meanwhile; takes the metrics that the dictionary is given."""
        seconds, work, metrics = self.seconds, self.work.so_far(), dict[str, float]()
        yield metrics
        self.work = MachineWork(*work)
        self._started = time.perf_counter() - (seconds - self._before)
        self.evaluations.append({"step": step, "seconds": seconds, **metrics})

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Put the time into the checkpoint; this is the last file of it, so it marks the checkpoint as whole."""
        if state.is_world_process_zero and args.output_dir is not None:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            so_far = {"seconds": self.seconds, "evaluations": self.evaluations}
            if self._all_known:
                so_far["work"] = self.work.so_far()
            write_json(checkpoint / CLOCK, so_far)


def _three_numbers(value: Any) -> tuple[float, float, float] | None:
    """What a checkpoint says of the work before it; None where it is damaged, or older than that was counted."""
    if isinstance(value, list) and len(value) == 3 and all(is_number(one) and one >= 0 for one in value):
        return float(value[0]), float(value[1]), float(value[2])
    return None
