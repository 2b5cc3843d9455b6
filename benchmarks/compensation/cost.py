"""What a refit costs: seconds, memory, and how many training steps the seconds would have bought.

    python benchmarks/compensation/cost.py [--shape bert-base] [--batches 16] [--memory-gib 1] --output DIRECTORY

A BERT of the shape's size with random weights, whose cost is that of trained ones, on batches of 32 texts of 128
tokens: half of the heads and of the neurons cut, with and without the refit, beside one training step (forward,
backward, AdamW) of the whole model. On the GPU where there is one. Memory is what the process (on the GPU: its
allocator) holds at its peak above what it held before. Writes cost-SHAPE-DEVICE.json and prints a table.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

import earlybird as eb

SHAPES = {
    "minilm": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    "bert-base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
}
TEXTS, TOKENS = 32, 128


def peak_memory(device: str, work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds, and the MiB by which the peak lies above what was held before."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before, start = torch.cuda.memory_allocated(), time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - start, (torch.cuda.max_memory_allocated() - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the kernel's peak starts anew
    before, start = psutil.Process().memory_info().rss, time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    return seconds, (peak - before) / 2**20


def main() -> None:
    """Measure once each, the training step last of three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="bert-base")
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--memory-gib", type=float, default=1, help="of the moments held at once")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = BertForSequenceClassification(BertConfig(**SHAPES[arguments.shape])).to(device)
    batches = [
        {"input_ids": torch.randint(1000, 30000, (TEXTS, TOKENS), device=device)} for _ in range(arguments.batches)
    ]
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.SearchConfig(heads=0.5, neurons=0.5), seed=0)
    plain, refitted = copy.deepcopy(model), copy.deepcopy(model)
    memory = int(arguments.memory_gib * 2**30)
    figures = {
        "cut": peak_memory(device, lambda: eb.prune(plain, ticket)),
        "forward passes alone": peak_memory(device, lambda: _answers(model, batches)),
        "cut and refit": peak_memory(device, lambda: eb.prune(refitted, ticket, compensate=batches, memory=memory)),
    }
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    labels = torch.zeros(TEXTS, dtype=torch.long, device=device)
    for _ in range(3):
        figures["training step"] = peak_memory(device, lambda: _step(model, optimizer, batches[0], labels))
    step, _ = figures["training step"]
    rows = [
        {"what": what, "seconds": round(seconds, 2), "steps": round(seconds / step, 1), "peak_mebibytes": round(memory)}
        for what, (seconds, memory) in figures.items()
    ]
    facts = {
        "shape": arguments.shape,
        "batches": arguments.batches,
        "device": device,
        "threads": torch.get_num_threads(),
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**facts, "memory_gib": arguments.memory_gib, "rows": rows}, indent=1) + "\n"
    (arguments.output / f"cost-{arguments.shape}-{device}.json").write_text(text, encoding="utf-8")
    print("| | seconds | as training steps | peak memory, MiB |\n| --- | --- | --- | --- |")
    for row in rows:
        print(f"| {row['what']} | {row['seconds']} | {row['steps']} | {row['peak_mebibytes']} |")


@torch.no_grad()
def _answers(model: nn.Module, batches: Sequence[dict[str, torch.Tensor]]) -> None:
    for batch in batches:
        model.eval()(**batch)


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: dict[str, torch.Tensor], labels: torch.Tensor
) -> None:
    model.train()
    model(**batch, labels=labels).loss.backward()
    optimizer.step()
    optimizer.zero_grad()


if __name__ == "__main__":
    main()
