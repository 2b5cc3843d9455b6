"""How well a table of milliseconds predicts whole networks that were pruned at random to as many budgets.

    python benchmarks/latency/predict.py OUTPUT [--tickets 20 --threads 1]

For BERT-base (a text of 128 tokens), ViT-base (an image) and the shape of MiniLM (16 texts of 32 tokens), with random
weights, the table is measured anew. Tickets at budgets spread evenly over 30% to 90% of what the units take are drawn
randomly, every second one with `whole_blocks`. Each pruned network is timed beside the whole one. Writes predicted.csv
and predicted.md, the table of the README, to OUTPUT. Nothing else may run on the machine.
"""

from __future__ import annotations

import argparse
import copy
import csv
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import BertConfig, BertModel, ViTConfig, ViTModel

import earlybird as eb
from earlybird.config import PruningConfig
from earlybird.latency.measure import Clock, example_batch, measured

MINILM = BertConfig(num_hidden_layers=6, hidden_size=384, num_attention_heads=12, intermediate_size=1536)
SHAPES = {
    "BERT-base, 1 x 128 tokens": (lambda: BertModel(BertConfig()), 1, 128),
    "ViT-base, 1 image": (lambda: ViTModel(ViTConfig()), 1, 128),
    "MiniLM, 16 x 32 tokens": (lambda: BertModel(MINILM), 16, 32),
}


def rows_of(name: str, model: nn.Module, examples: int, tokens: int, tickets: int) -> list[dict[str, object]]:
    anatomy = eb.Anatomy.of(model)
    began = time.perf_counter()
    costs = measured(model, anatomy, PruningConfig(milliseconds=1, examples=examples, tokens=tokens))
    took = time.perf_counter() - began
    clock = Clock(model, example_batch(model, tokens, examples))
    rows: list[dict[str, object]] = []
    for seed in range(tickets):
        share = 0.3 + 0.6 * (seed + 0.5) / tickets
        wanted = costs.fixed + share * (costs.whole - costs.fixed)
        config = PruningConfig(milliseconds=wanted, examples=examples, tokens=tokens, whole_blocks=bool(seed % 2))
        ticket = eb.Ticket.random(anatomy, config, seed=seed, costs=costs)
        seen = clock.share(eb.prune(copy.deepcopy(model), ticket)) * costs.whole
        predicted = float(costs.of(ticket.masks))
        rows.append(
            {
                "network": name,
                "dense": round(costs.whole, 2),
                "asked": round(wanted, 2),
                "predicted": round(predicted, 2),
                "measured": round(seen, 2),
                "error": round(seen / predicted - 1, 4),
                "blocks gone": sum(not kept for kind in ticket.masks for kept in ticket.kept(kind)),
                "table seconds": round(took),
            }
        )
        print(*rows[-1].values(), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--tickets", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    rows: list[dict[str, object]] = []
    for name, (build, examples, tokens) in SHAPES.items():
        rows += rows_of(name, build().eval(), examples, tokens, given.tickets)
    given.output.mkdir(parents=True, exist_ok=True)
    with (given.output / "predicted.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    lines = ["| | milliseconds, dense | median error | largest | the table took |", "| --- | --- | --- | --- | --- |"]
    for name in SHAPES:
        of_it = [row for row in rows if row["network"] == name]
        errors = np.abs([float(str(row["error"])) for row in of_it])
        first = of_it[0]
        lines.append(
            f"| {name} | {first['dense']} | {np.median(errors):.1%} | {errors.max():.1%} | {first['table seconds']} s |"
        )
    (given.output / "predicted.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
