"""Perplexity and written answers of a run's decoders: before the cut, after it, refitted, and trained on.

    python benchmarks/decoder/evaluate.py RUN... --answers 120 --output DIRECTORY

Each RUN is a directory of `earlybird run causal-lm`. Perplexity is that of the answers of the run's own evaluation
examples; exact match and F1, by the rules of SQuAD, are of the answers to the first so many of them, written greedily
with 32 tokens at most. Writes DIRECTORY/RUN.csv, one row a network; networks that are there already are not run again.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import AutoTokenizer

import earlybird as eb
from earlybird.recipes.adapters import load_with_adapters, merged
from earlybird.recipes.stages.job import Job
from earlybird.recipes.tasks.squad_metric import answer_scores

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

        def cut(which: str = which) -> nn.Module:
            model = merged(load_with_adapters(files.drawn))
            return eb.prune(model, eb.Ticket.load(files.ticket(which)))

        yield f"{which}, cut", cut
        if job.recipe.search.compensation:
            yield f"{which}, cut and refitted", lambda pruned=pruned: merged(load_with_adapters(pruned))
        yield f"{which}, trained on", lambda trained=trained: eb.load(trained)


@torch.no_grad()
def evaluated(job: Job, model: nn.Module, answers: int) -> dict[str, float]:
    """Perplexity of all answers, exact match and F1 of some that are written."""
    task = job.task
    items = task.evaluation
    # Of about one length, so that little is padded.
    order = sorted(range(len(items)), key=lambda place: len(items[place].numbers))
    sums = np.zeros(3)
    model.eval()
    for first in range(0, len(order), BATCH):
        batch = task.collate([items[place] for place in order[first : first + BATCH]])
        sums += task.predict(model, batch).sum(0).numpy()
    tokenizer = AutoTokenizer.from_pretrained(job.files.initial)
    scores = []
    for place in sorted(range(min(answers, len(items))), key=lambda place: items[place].given):
        item = items[place]
        prompt = torch.tensor([item.numbers[: item.given]])
        written = model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=MOST_TOKENS,
            do_sample=False,
            pad_token_id=tokenizer.eos_token_id,
        )[0, item.given :]
        scores.append(
            answer_scores(tokenizer.decode(written, skip_special_tokens=True), [item.learnt], no_answers=False)
        )
    exact, f1 = 100 * np.mean(scores, axis=0) if scores else (math.nan, math.nan)
    return {
        "perplexity": round(math.exp(min(sums[0] / sums[1], 700)), 2),
        "token accuracy": round(100 * sums[2] / sums[1], 1),
        "exact match": round(float(exact), 1),
        "F1": round(float(f1), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--answers", type=int, default=120)
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
            row = {"network": name, **job.costs(model), **evaluated(job, model, arguments.answers)}
            rows.append(row)
            print(run.name, row, flush=True)
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, row, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)


if __name__ == "__main__":
    main()
