"""What a whole search adds to a training step on a GPU, in bf16: time, device memory, waits for the device.

    python benchmarks/speed/gpu.py --batch vit=256 > benchmarks/results/speed/gpu.json

BERT-base's shape (12 layers, 768 wide, 3,072 neurons; 128 tokens) and ViT-Base's (the same, 197 tokens), random
weights and inputs, bf16 autocast, fused AdamW, gradients clipped. A plain training and one with a search by each score
take blocks of steps in turn in one process, the device idle before and after each block; the overhead is the median
over the rounds of the ratio of wall-clock seconds within a round, less 1. `--delay 0` looks at every step at once,
which makes the host wait for the device. Waits are those that torch counts (`torch.cuda.set_sync_debug_mode`): copies
and `item()` that block, but not the event that a search waits for, long past or, with `--delay 0`, just queued.
Without a GPU the script runs on the CPU, to try it.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
import warnings
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

SCORES: tuple[Score | None, ...] = (None, "coefficient", "gradient", "squared-gradient")
TOTAL_STEPS = 10_000


def bert(batch: int, layers: int) -> tuple[PreTrainedModel, dict[str, Tensor]]:
    inputs = {"input_ids": torch.randint(0, 30_000, (batch, 128)), "labels": torch.randint(2, (batch,))}
    return BertForSequenceClassification(BertConfig(num_hidden_layers=layers)), inputs


def vit(batch: int, layers: int) -> tuple[PreTrainedModel, dict[str, Tensor]]:
    inputs = {"pixel_values": torch.randn(batch, 3, 224, 224), "labels": torch.randint(10, (batch,))}
    return ViTForImageClassification(ViTConfig(num_hidden_layers=layers, num_labels=10)), inputs


MODELS: dict[str, Callable[[int, int], tuple[PreTrainedModel, dict[str, Tensor]]]] = {"bert": bert, "vit": vit}


def training(
    name: str, batch: int, layers: int, score: Score | None, detector: str | None, delay: int | None, record: Path,
    device: torch.device,
) -> Callable[[], None]:  # fmt: skip
    """What takes one step; without a score the training is plain."""
    torch.manual_seed(0)
    with device:
        model, inputs = MODELS[name](batch, layers)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, fused=True)
    search = None
    if score is not None:
        config = eb.SearchConfig(heads=0.5, neurons=0.5, score=score, detector=detector)
        search = eb.Search(model, config, total_steps=TOTAL_STEPS, delay=delay, recording=eb.Recording(record))

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            loss = model(**inputs).loss
        if search is not None:
            loss = loss + search.penalty()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if search is not None:
            search.step()

    return step


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def waits(step: Callable[[], None], steps: int, device: torch.device) -> float | None:
    """Times a step that torch counts the host as waiting for the device."""
    if device.type != "cuda":
        return None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        for _ in range(steps):
            step()
        torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing" in str(warning.message) for warning in caught) / steps


def overheads(
    given: argparse.Namespace, name: str, batch: int, device: torch.device, directory: Path
) -> dict[str, Any]:
    seconds: dict[Score | None, list[float]] = {score: [] for score in SCORES}
    host: dict[Score | None, list[float]] = {score: [] for score in SCORES}
    memory: dict[Score | None, int] = {}
    waited: dict[Score | None, float | None] = {}
    trainings = {}
    for score in SCORES:
        gc.collect()
        held = 0
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            held = torch.cuda.memory_allocated()
        record = directory / f"{name}-{batch}-{score}"
        step = training(name, batch, given.layers, score, given.detector, given.delay, record, device)
        for _ in range(given.warm_up):
            step()
        synchronize(device)
        if device.type == "cuda":
            memory[score] = torch.cuda.max_memory_allocated() - held
        waited[score] = waits(step, given.block, device)
        trainings[score] = step
    for _ in range(given.rounds):
        for score, step in trainings.items():
            synchronize(device)
            begin = time.perf_counter()
            for _ in range(given.block):
                step()
            queued = time.perf_counter() - begin
            synchronize(device)
            seconds[score].append((time.perf_counter() - begin) / given.block)
            host[score].append(queued / given.block)
    plain = seconds.pop(None)
    figures: dict[str, Any] = {
        "plain_step_milliseconds": round(1e3 * statistics.median(plain), 3),
        "plain_step_milliseconds_of_the_host": round(1e3 * statistics.median(host[None]), 3),
        "plain_waits_per_step": waited[None],
    }
    if memory:
        figures["plain_peak_megabytes"] = round(memory[None] / 2**20, 1)
    for score, values in seconds.items():
        figures[f"{score}"] = {
            **overhead(values, plain),
            "host_milliseconds": round(1e3 * statistics.median(host[score]), 3),
            "waits_per_step": waited[score],
        }
        if memory:
            figures[f"{score}"]["device_memory"] = round(memory[score] / memory[None] - 1, 4)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", nargs="*", default=["bert=32", "bert=128", "vit=32", "vit=128"])
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--detector", help="by default that of a search")
    parser.add_argument("--delay", type=int, help="by default that of a search")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--block", type=int, default=15)
    parser.add_argument("--warm-up", type=int, default=8)
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    figure: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as directory:
        for wanted in given.batch:
            name, _, batch = wanted.partition("=")
            figure[f"{name}, batch {batch}"] = overheads(given, name, int(batch), device, Path(directory))
    card = torch.cuda.get_device_name() if device.type == "cuda" else "none"
    report({"device": card, "torch": torch.__version__, **vars(given), **figure})


if __name__ == "__main__":
    main()
