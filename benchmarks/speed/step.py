"""Where the seconds of a training step go, of a dense network and of its half: what pruning cannot make faster.

    OMP_NUM_THREADS=1 python benchmarks/speed/step.py > benchmarks/results/speed/step.json

MiniLM's shape (6 layers, 384 wide, 30,522 words), random weights, bfloat16 autocast, 16 sentences of 40 tokens; AdamW
and gradient clipping as the recipes use them. The pruned network lacks half of the heads and neurons. Medians over the
rounds, in CPU milliseconds; the two take their steps in turn.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from measured import report
from transformers import BertConfig, BertForSequenceClassification

import earlybird as eb

BATCH, TOKENS = 16, 40


def training(*, pruned: bool) -> Callable[[], dict[str, float]]:
    """What takes one step and says what its parts took, in milliseconds."""
    torch.manual_seed(0)
    model = BertForSequenceClassification(
        BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    )
    if pruned:
        eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.5), seed=0))
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, fused=True)
    batch = {"input_ids": torch.randint(0, 30_000, (BATCH, TOKENS)), "labels": torch.zeros(BATCH, dtype=torch.long)}

    def step() -> dict[str, float]:
        times = [time.process_time()]
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**batch).loss
        times.append(time.process_time())
        loss.backward()
        times.append(time.process_time())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.process_time())
        names = ("forward", "backward", "clipping_and_optimizer")
        return {name: 1e3 * (end - begin) for name, begin, end in zip(names, times, times[1:], strict=False)}

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    trainings = {"dense": training(pruned=False), "pruned": training(pruned=True)}
    taken: dict[str, list[dict[str, float]]] = {which: [] for which in trainings}
    for number in range(rounds + 2):
        for which, step in trainings.items():
            parts = step()
            if number > 1:
                taken[which].append(parts)
    medians = {
        which: {part: round(statistics.median(step[part] for step in steps), 1) for part in steps[0]}
        for which, steps in taken.items()
    }
    report({"figure": "parts of a training step, ms", "rounds": rounds, **medians})


if __name__ == "__main__":
    main()
