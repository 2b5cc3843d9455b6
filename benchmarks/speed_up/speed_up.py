"""Wall-clock speed-up of pruned networks over the dense one, beside what their FLOPs promise.

    python benchmarks/speed_up/speed_up.py [--models bert vit] [--rounds 7] [--threads 2] [--output DIRECTORY]

Networks of BERT-base's and ViT-Base's shape with random weights, random tickets at equal ratios of heads and neurons.
Dense and pruned take turns in one process, so that what else the machine does meets both; each figure is the median
over the rounds of the ratio within a round. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    ViTConfig,
    ViTForImageClassification,
)

import earlybird as eb
from earlybird.anatomy.flops import forward_flops, parameter_count

RATIOS = (0.3, 0.5, 0.8)
BATCH = 4


def bert() -> tuple[PreTrainedModel, dict[str, Tensor]]:
    """BERT-base and a batch of 4 texts of 128 tokens."""
    model = BertForSequenceClassification(BertConfig())
    return model, {"input_ids": torch.randint(0, 30_000, (BATCH, 128)), "labels": torch.zeros(BATCH, dtype=torch.long)}


def vit() -> tuple[PreTrainedModel, dict[str, Tensor]]:
    """ViT-Base and a batch of 4 images: 196 patches and the class token."""
    model = ViTForImageClassification(ViTConfig(num_labels=10))
    return model, {"pixel_values": torch.randn(BATCH, 3, 224, 224), "labels": torch.zeros(BATCH, dtype=torch.long)}


MODELS: dict[str, Callable[[], tuple[PreTrainedModel, dict[str, Tensor]]]] = {"bert": bert, "vit": vit}


def inference(model: PreTrainedModel, inputs: dict[str, Tensor]) -> Callable[[], None]:
    def run() -> None:
        model.eval()
        with torch.inference_mode():
            model(**inputs)

    return run


def training_step(model: PreTrainedModel, inputs: dict[str, Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters())

    def run() -> None:
        model.train()
        model(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


WORK = {"inference": inference, "training step": training_step}


def ratios_in_turns(dense: Callable[[], None], pruned: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Median over the rounds of dense over pruned time, and of the pruned seconds; a first round warms up."""
    ratios, seconds = [], []
    for counted in range(rounds + 1):
        begin = time.perf_counter()
        dense()
        middle = time.perf_counter()
        pruned()
        end = time.perf_counter()
        if counted:
            ratios.append((middle - begin) / (end - middle))
            seconds.append(end - middle)
    return statistics.median(ratios), statistics.median(seconds)


def measure(name: str, rounds: int) -> list[dict[str, Any]]:
    """One row per kind of work, ratio and rounding of the kept neurons."""
    torch.manual_seed(0)
    dense, inputs = MODELS[name]()
    anatomy = eb.Anatomy.of(dense)
    one = {key: value[:1] for key, value in inputs.items()}
    dense_flops = forward_flops(dense, one)
    rows = []
    for work, prepare in WORK.items():
        # Training changes the weights and holds gradients and moments: each pair has a dense network of its own.
        for ratio in RATIOS:
            for multiple in (1, 64):
                ticket = eb.Ticket.random(anatomy, eb.PruningConfig(heads=ratio, neurons=ratio, round_to=multiple))
                pruned = eb.prune(copy.deepcopy(dense), ticket)
                flops = forward_flops(pruned, one)
                speed_up, seconds = ratios_in_turns(
                    prepare(copy.deepcopy(dense), inputs), prepare(pruned, inputs), rounds
                )
                rows.append(
                    {
                        "model": name,
                        "work": work,
                        "ratio": ratio,
                        "neurons_multiple_of": multiple,
                        "parameters": parameter_count(pruned),
                        "flops": flops,
                        "seconds": round(seconds, 4),
                        "speed_up": round(speed_up, 3),
                        "promised_by_flops": round(dense_flops / flops, 3),
                        "share_of_promise": round(speed_up * flops / dense_flops, 3),
                    }
                )
    return rows


def table(result: dict[str, Any]) -> str:
    lines = [
        "# Speed-up of pruned networks\n",
        f"`{result['command']}`, {result['date']}: {result['threads']} CPU threads, torch {result['torch']},"
        f" transformers {result['transformers']}, float32, batch of {BATCH}; medians of {result['rounds']} rounds in"
        " which dense and pruned took turns. The ratio is that of heads and of neurons, whose kept counts are"
        " rounded to the multiple under 'neurons by'; the share is the measured"
        " speed-up over the one that the FLOPs promise.\n",
        "| model | work | ratio | neurons by | parameters | GFLOPs | seconds | speed-up | by FLOPs | share |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in result["rows"]:
        cells = [
            row["model"],
            row["work"],
            row["ratio"],
            row["neurons_multiple_of"],
            f"{row['parameters'] / 1e6:.1f} M",
            f"{row['flops'] / 1e9:.1f}",
            f"{row['seconds']:.3f}",
            f"{row['speed_up']:.2f}",
            f"{row['promised_by_flops']:.2f}",
            f"{row['share_of_promise']:.0%}",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--output", type=Path, help="directory for speed_up.json and README.md")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    result = {
        "command": f"python {' '.join(sys.argv)}",
        "date": date.today().isoformat(),
        "threads": arguments.threads,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "rounds": arguments.rounds,
        "rows": [row for name in arguments.models for row in measure(name, arguments.rounds)],
    }
    print(json.dumps(result, indent=1))
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "speed_up.json").write_text(json.dumps(result, indent=1) + "\n")
        (arguments.output / "README.md").write_text(table(result))


if __name__ == "__main__":
    main()
