"""Perplexity and written answers of a run's decoders: before the cut, after it, refitted, and trained on.

    python benchmarks/decoder/evaluate.py RUN... --examples 60 --answers 60 --output DIRECTORY

Each RUN is a directory of `earlybird run causal-lm`. Perplexity and token accuracy are of the answers to the first
evaluation examples of the run; exact match and F1, by the rules of SQuAD, of the answers to the first so many of them,
written greedily with 32 tokens at most. Writes DIRECTORY/RUN.csv, one row a network; networks that are there already
are not run again.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

import earlybird as eb
from earlybird.recipes.adapters import load_with_adapters, merged
from earlybird.recipes.stages.job import Job
from earlybird.recipes.tasks import task_of
from earlybird.recipes.tasks.base import Task

BATCH, MOST_TOKENS = 16, 32


def networks(job: Job) -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    """What a run holds, by name."""
    files = job.files
    if files.dense.is_dir():
        yield "pretrained", job.initial_model
        yield "dense, trained", lambda: eb.load(files.dense / "model")
    for which in ("ticket", "random"):
        pruned, trained = files.pruned("continue", which), files.trained("continue", which) / "model"
        if not trained.is_dir():
            continue
        if which == "ticket":
            yield "at the draw, before the cut", lambda: merged(load_with_adapters(files.drawn))

            def cut() -> nn.Module:
                return eb.prune(merged(load_with_adapters(files.drawn)), eb.Ticket.load(files.ticket("ticket")))

            yield "ticket, cut", cut
            if job.recipe.search.compensation:
                yield "ticket, cut and refitted", lambda pruned=pruned: merged(load_with_adapters(pruned))
        yield f"{which}, trained on", lambda trained=trained: eb.load(trained)


def evaluated(job: Job, model: nn.Module, examples: int, answers: int) -> dict[str, float]:
    """Perplexity of the answers to examples, exact match and F1 of the first that are written."""
    recipe = job.recipe
    shown = recipe.data.model_copy(update={"eval_limit": examples})
    some = recipe.data.model_copy(update={"eval_limit": answers})
    short = recipe.generation.model_copy(update={"max_new_tokens": MOST_TOKENS})
    writing = recipe.model_copy(update={"metric": "f1", "data": some, "generation": short})
    known = metrics_of(task_of(recipe.model_copy(update={"data": shown})), model)
    written = metrics_of(task_of(writing), model)
    return {
        "perplexity": round(known["perplexity"], 2),
        "token accuracy": round(known["token_accuracy"], 1),
        "exact match": round(written["exact_match"], 1),
        "F1": round(written["f1"], 1),
    }


@torch.no_grad()
def metrics_of(task: Task, model: nn.Module) -> dict[str, float]:
    """What the task says of a model."""
    items, model = task.evaluation, model.eval()
    firsts = range(0, len(items), BATCH)
    predictions = [task.predict(model, task.collate(items[first : first + BATCH])) for first in firsts]
    return task.metrics(torch.cat(predictions).numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--examples", type=int, default=60)
    parser.add_argument("--answers", type=int, default=60)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for run in arguments.runs:
        job, path = Job.open(run), arguments.output / f"{run.name}.csv"
        rows = list(csv.DictReader(path.open())) if path.is_file() else []
        for name, make in networks(job):
            if name in [row["network"] for row in rows]:
                continue
            model = make()
            row = {"network": name, **job.costs(model), **evaluated(job, model, arguments.examples, arguments.answers)}
            rows.append(row)
            print(run.name, row, flush=True)
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, row, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)


if __name__ == "__main__":
    main()
