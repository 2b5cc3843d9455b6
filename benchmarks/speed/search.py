"""What a whole search adds to a training step: coefficients, penalty, record, masks.

    OMP_NUM_THREADS=1 python benchmarks/speed/search.py > benchmarks/results/speed/search-one-thread.json

MiniLM's shape (6 layers, 384 wide; batch 16, 128 tokens) and a ViT of 7 layers (384 wide, 64 patches; batch 16),
random weights, AdamW, the default detector. Two plain trainings and one with a search by each score, all from the same
weights, take their steps in turn in one process, in another order in each round; the overhead is the median over the
rounds of the ratio of CPU seconds to those of the first plain one within a round, less 1, with its standard error by
bootstrap. What the second plain training costs more than the first says how far to trust the figures. With several
threads the CPU seconds are those of all of them.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measured import overhead, report
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    ViTConfig,
    ViTForImageClassification,
)

import earlybird as eb
from earlybird.vocabulary import Score

BATCH = 16
SEARCHES: dict[str, Score | None] = {
    "plain": None,
    "plain_again": None,
    "coefficient": "coefficient",
    "gradient": "gradient",
    "squared-gradient": "squared-gradient",
}


def minilm() -> tuple[PreTrainedModel, dict[str, Tensor]]:
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    labels = torch.zeros(BATCH, dtype=torch.long)
    return BertForSequenceClassification(BertConfig(**sizes)), {
        "input_ids": torch.randint(0, 30_000, (BATCH, 128)),
        "labels": labels,
    }


def vit() -> tuple[PreTrainedModel, dict[str, Tensor]]:
    sizes = {"hidden_size": 384, "num_hidden_layers": 7, "num_attention_heads": 12, "intermediate_size": 384}
    labels = torch.zeros(BATCH, dtype=torch.long)
    config = ViTConfig(**sizes, image_size=32, patch_size=4, num_labels=10)
    return ViTForImageClassification(config), {"pixel_values": torch.randn(BATCH, 3, 32, 32), "labels": labels}


MODELS: dict[str, Callable[[], tuple[PreTrainedModel, dict[str, Tensor]]]] = {"minilm": minilm, "vit": vit}


def training(name: str, score: Score | None, record: Path) -> Callable[[], None]:
    """What takes one step; without a score the training is plain."""
    torch.manual_seed(0)
    model, batch = MODELS[name]()
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
    search = None
    if score is not None:
        search = eb.Search(
            model,
            eb.SearchConfig(heads=0.5, neurons=0.5, score=score),
            total_steps=10_000,
            recording=eb.Recording(record),
        )

    def step() -> None:
        loss = model(**batch).loss
        if search is not None:
            loss = loss + search.penalty()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if search is not None:
            search.step()

    return step


def overheads(name: str, rounds: int, directory: Path) -> dict[str, Any]:
    trainings = {which: training(name, score, directory / f"{name}-{which}") for which, score in SEARCHES.items()}
    seconds: dict[str, list[float]] = {which: [] for which in trainings}
    order, generator = list(trainings), random.Random(0)
    for counted in range(rounds + 2):
        generator.shuffle(order)
        for which in order:
            begin = time.process_time()
            trainings[which]()
            if counted > 1:
                seconds[which].append(time.process_time() - begin)
    plain = seconds.pop("plain")
    figures: dict[str, Any] = {"plain_step_seconds": round(statistics.median(plain), 4)}
    return figures | {which: overhead(values, plain) for which, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        figure = {name: overheads(name, given.rounds, Path(directory)) for name in MODELS}
    report({"rounds": given.rounds, "torch_threads": torch.get_num_threads(), **figure})


if __name__ == "__main__":
    main()
