"""Where the trainings of a sweep run: processes on this machine, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

EngineName = Literal["processes", "ray"]


@dataclass(frozen=True)
class Engine:
    """How to get workers.

    Attributes:
        start: gives an executor; leaving its context by an error ends its workers at once.
        at_once: how many tasks to hand it at a time; None leaves it to the engine.
        threads: torch's in each worker; None leaves them as they are.
    """

    start: Callable[[], Executor]
    at_once: int | None
    threads: int | None


def engine_named(name: EngineName, workers: int, logs: Path) -> Engine:
    """The engine of a name.

    Args:
        name: "processes" or "ray".
        workers: tasks at a time; a Ray cluster that is there decides by itself.
        logs: directory for what processes print.

    Raises:
        InputError: Ray is not installed.
    """
    if name == "ray":
        from earlybird.extras import require

        require("ray", extra="ray", what="--engine ray")
        from earlybird.recipes.sweep.engines.ray import RayTasks

        return Engine(lambda: RayTasks(workers), None, 1)
    from earlybird.recipes.sweep.engines.processes import Processes

    return Engine(lambda: Processes(workers, logs), workers, 1 if workers > 1 else None)
