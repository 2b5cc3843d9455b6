"""Which units a search under LoRA ranks low: by the coefficient's hooks, and by the adapters' own gradients.

    python benchmarks/decoder/lora_scores.py MODEL DATA --output benchmarks/results/decoder

MODEL is a directory of the decoder, DATA what policyqa.py wrote. The decoder trains through LoRA (r = 16, all linear
layers) on conversations about privacy policies, batches of 4, AdamW 2e-4. At every step two scores are read: the
squared gradient of each unit's coefficient, which its hooks give exactly for base and adapters together, and
LoRAPrune's (arXiv 2305.18403, equations 8 to 10): the square of weight times a gradient that is estimated from the
adapters alone, G = dB A + B dA - dB dA, summed over the columns that a unit feeds. The mask of the first half of the
steps is judged by the coefficient's gradients of the second half, and by the perplexity of held-out answers right
after the cut of the trained network. Writes lora-scores.csv.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import earlybird as eb
from earlybird.criteria.captured import captured_by
from earlybird.masks import MaskRule
from earlybird.recipes.adapters import merged, with_adapters
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.tasks import task_of
from earlybird.recipes.tasks.base import Task

KINDS = ("heads", "neurons")
BATCH, RATE, RATIOS = 4, 2e-4, (0.2, 0.4)


def by_adapters(model: nn.Module, anatomy: eb.Anatomy) -> dict[str, NDArray[np.float64]]:
    """LoRAPrune's importance of this step, (blocks, units) per kind."""
    inner = model.get_base_model()
    found: dict[str, NDArray[np.float64]] = {}
    for kind, blocks in (("heads", anatomy.attention), ("neurons", anatomy.mlp)):
        rows = []
        for block in blocks:
            layer: Any = inner.get_submodule(block.output)
            first, second = layer.lora_A["default"].weight, layer.lora_B["default"].weight
            scaling = layer.scaling["default"]
            with torch.no_grad():
                gradient = second.grad @ first + second @ first.grad - second.grad @ first.grad
                weight = layer.base_layer.weight + scaling * (second @ first)
                columns = (gradient * weight).square().sum(0).numpy()
            rows.append(np.bincount(block.after.unit_of, columns, minlength=block.units))
        found[kind] = np.stack(rows)
    return found


@torch.no_grad()
def perplexity(task: Task, model: nn.Module, examples: int) -> float:
    """Of the answers to the first evaluation examples."""
    items = sorted(list(task.evaluation)[:examples], key=lambda item: len(item.numbers))
    sums = np.zeros(3)
    for first in range(0, len(items), 8):
        sums += task.predict(model.eval(), task.collate(items[first : first + 8])).sum(0).numpy()
    return math.exp(min(sums[0] / sums[1], 700))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    source = [f"data.source={arguments.data}", f"model.pretrained={arguments.model}", "data.format=json-lines"]
    task = task_of(read_recipe("causal-lm", [*source, "data.config=null", "model.max_length=448"]))
    model = with_adapters(task.initial_model(), {"r": 16}, seed=0).train()
    anatomy = eb.Anatomy.of(model)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], RATE)
    order = torch.randperm(len(task.train), generator=torch.Generator().manual_seed(0)).tolist()
    adapters: dict[str, list[NDArray[np.float64]]] = {kind: [] for kind in KINDS}
    seconds = {"forward and backward, with hooks": 0.0, "reading the adapters": 0.0}
    config = eb.SearchConfig(heads=0.4, neurons=0.4, score="squared-gradient", detector="fixed-time")
    with TemporaryDirectory() as directory:
        search = eb.Search(
            model, config, total_steps=arguments.steps, recording=eb.Recording(Path(directory) / "record")
        )
        for step in range(arguments.steps):
            batch = task.collate([task.train[place] for place in order[step * BATCH : (step + 1) * BATCH]])
            optimizer.zero_grad()
            begun = time.perf_counter()
            task.loss(model, batch).backward()
            between = time.perf_counter()
            for kind, values in by_adapters(model, anatomy).items():
                adapters[kind].append(values)
            seconds["forward and backward, with hooks"] += between - begun
            seconds["reading the adapters"] += time.perf_counter() - between
            optimizer.step()
            search.step()
        search.finish()
        record = eb.Trajectory.open(Path(directory) / "record")
        squared = {kind: record.evidence(kind, "gradient").astype(np.float64) ** 2 for kind in KINDS}
    trained, half = merged(model), arguments.steps // 2
    rows: list[dict[str, Any]] = [
        {"ratio": 0, "score": "uncut", "perplexity": round(perplexity(task, trained, arguments.examples), 2)}
    ]
    generator = np.random.default_rng(0)
    for ratio in RATIOS:
        rules = {
            kind: MaskRule(
                ratio, "global", anatomy.units[kind], groups=anatomy.key_value_groups if kind == "heads" else None
            )
            for kind in KINDS
        }
        scores = {
            "coefficient, squared gradient": {kind: squared[kind][:half].mean(0) for kind in KINDS},
            "adapters' gradients (LoRAPrune)": {kind: np.mean(adapters[kind][:half], axis=0) for kind in KINDS},
            "random": {kind: generator.random(squared[kind].shape[1:]) for kind in KINDS},
        }
        for name, by_kind in scores.items():
            masks = {kind: rules[kind].masks(by_kind[kind]) for kind in KINDS}
            later = {kind: squared[kind][half:].mean(0) for kind in KINDS}
            row = {
                f"captured, {kind}": round(float(captured_by(rules[kind], masks[kind], later[kind])), 3)
                for kind in KINDS
            }
            small = eb.prune(copy.deepcopy(trained), eb.Ticket.of(eb.Anatomy.of(trained), masks))
            rows.append(
                {
                    "ratio": ratio,
                    "score": name,
                    **row,
                    "perplexity": round(perplexity(task, small, arguments.examples), 2),
                }
            )
            print(rows[-1], flush=True)
    print(seconds)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "lora-scores.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[-1], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
