"""Seconds and memory of a training step of each network of some runs, one after the other on a quiet machine.

    python benchmarks/decoder/step.py RUN... --output benchmarks/results/decoder

Each RUN is a directory of `earlybird run causal-lm`. A step is forward, backward and AdamW's on one thread, of the same
four conversations; the median of `--steps`, after one that does not count. Memory is the most that the process of a
network has held. Adapters are put on as the run has them. Writes step.csv.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import resource
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from earlybird.recipes.stages.job import Job
from earlybird.recipes.training import optimizer_for


def networks(run: Path) -> Iterator[tuple[str, Path]]:
    """Directories of what trains in a run, by name."""
    files = Job.open(run).files
    if files.dense.is_dir():
        yield "dense", files.initial
    yield "ticket", files.trained("continue", "ticket") / "model"


def measured(run: Path, directory: Path, steps: int, results: Any) -> None:
    """Put seconds and bytes of a network's step into a queue."""
    from earlybird import load

    torch.set_num_threads(1)
    job = Job.open(run)
    model = job.to_train(load(directory)).train()
    optimizer = optimizer_for(model, job.recipe.training)
    batch = job.task.collate(job.task.train[:4])
    seconds = []
    for _ in range(steps + 1):
        begun = time.perf_counter()
        optimizer.zero_grad()
        job.task.loss(model, batch).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - begun)
    results.put((statistics.median(seconds[1:]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    rows = []
    for run in arguments.runs:
        for name, directory in networks(run):
            results = context.Queue()
            process = context.Process(target=measured, args=(run, directory, arguments.steps, results))
            process.start()
            seconds, memory = results.get()
            process.join()
            rows.append({"run": run.name, "network": name, "seconds": round(seconds, 2), "GB": round(memory / 1e9, 2)})
            print(rows[-1], flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "step.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
