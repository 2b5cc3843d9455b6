"""How much a decoder can lose in one cut: perplexity of answers and of plain text at many budgets, without training.

    python benchmarks/decoder/ratios.py RUN --xquad XQUAD.json --output benchmarks/results/decoder

RUN is a directory of `earlybird run causal-lm`, whole. Its network at the draw is cut by tickets of the recorded
squared gradients (the recent half of the steps up to the draw) at each budget, with and without the refit, and by a
random ticket with it. Answers are those of the run's first evaluation examples; the text is 20 English paragraphs of
XQuAD, which nothing was trained on. Writes ratios.csv.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoTokenizer

import earlybird as eb
from earlybird.masks.budget import budget_rule
from earlybird.recipes.adapters import load_with_adapters, merged
from earlybird.recipes.stages.job import Job
from earlybird.recipes.tasks import task_of

SHARES = (0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
PARAGRAPHS, LONGEST, BATCH, REFIT_BATCHES = 20, 256, 8, 16


@torch.no_grad()
def perplexity_of_text(model: nn.Module, tokenizer: Any, paragraphs: list[str]) -> float:
    """Of every token but the first of each paragraph."""
    total, tokens = 0.0, 0
    for paragraph in paragraphs:
        numbers = tokenizer(paragraph, return_tensors="pt", truncation=True, max_length=LONGEST).input_ids
        total += float(model(input_ids=numbers, labels=numbers).loss) * (numbers.shape[1] - 1)
        tokens += numbers.shape[1] - 1
    return math.exp(min(total / tokens, 700))


@torch.no_grad()
def perplexity_of_answers(model: nn.Module, task: Any, items: list[Any]) -> float:
    sums = np.zeros(3)
    for first in range(0, len(items), BATCH):
        sums += task.predict(model, task.collate(items[first : first + BATCH])).sum(0).numpy()[:3]
    return math.exp(min(sums[0] / sums[1], 700))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--xquad", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=60)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    job = Job.open(arguments.run)
    tokenizer = AutoTokenizer.from_pretrained(job.recipe.model.pretrained)
    task, trajectory = task_of(job.recipe), eb.Trajectory.open(job.files.trajectory)
    articles = json.loads(arguments.xquad.read_text())["data"]
    paragraphs = [article["paragraphs"][0]["context"] for article in articles][:PARAGRAPHS]
    items = sorted(list(task.evaluation)[: arguments.examples], key=lambda item: len(item.numbers))
    drawn = merged(load_with_adapters(job.files.drawn)).eval()
    anatomy, costs = eb.Anatomy.of(drawn), trajectory.shape.costs
    last = json.loads(job.files.draw.read_text())["step"]
    recent = slice((last + 1) // 2, last + 1)
    squared = {
        kind: np.square(trajectory.evidence(kind, "gradient")[recent], dtype=np.float64).mean(0)
        for kind in ("heads", "neurons")
    }
    batches = [task.collate(task.train[at * BATCH : (at + 1) * BATCH]) for at in range(REFIT_BATCHES)]
    rows: list[dict[str, Any]] = []

    def note(share: float, how: str, model: nn.Module) -> None:
        rows.append(
            {
                "blocks' FLOPs left": share,
                "cut": how,
                "perplexity of answers": round(perplexity_of_answers(model.eval(), task, items), 2),
                "perplexity of text": round(perplexity_of_text(model, tokenizer, paragraphs), 1),
            }
        )
        print(rows[-1], flush=True)

    note(1.0, "before", drawn)
    for share in SHARES:
        rule = budget_rule(eb.PruningConfig(flops=share, tokens=costs.tokens), trajectory.shape)
        ticket = eb.Ticket.of(anatomy, rule.by_kind(rule.masks(rule.stacked(squared))))
        note(share, "ticket", eb.prune(copy.deepcopy(drawn), ticket))
        note(share, "ticket, refitted", eb.prune(copy.deepcopy(drawn), ticket, compensate=batches))
        chance = ticket.shuffled_on(anatomy, 0)
        note(share, "random, refitted", eb.prune(copy.deepcopy(drawn), chance, compensate=batches))
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "ratios.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
