"""What a search adds to a training step on a GPU: time, device memory, waits for the device; what a cut takes.

    python benchmarks/speed/gpu.py --output benchmarks/results/speed/gpu-cells.json

BERT-base's shape (12 layers, 768 wide, 3,072 neurons; 128 tokens) and ViT-Base's (the same, 197 tokens), random weights
and inputs, fused AdamW, gradients clipped; autocast to bf16, or to fp16 with a `GradScaler`; eager, or by
`torch.compile`. For each of these cells a plain training and one with a search by each score take blocks of steps in
turn in one process, the device idle before and after each block. The overhead is the median over the rounds of the
ratio of wall-clock seconds within a round, less 1. Memory is what the allocator holds at its peak above what it held
before the training was made. Waits are those that torch counts (`torch.cuda.set_sync_debug_mode`): copies and `item()`
that block, but not the event that a search waits for. A cut takes half of the heads and neurons, without and with the
refit on 16 batches of 32, optimizer included; the second of two is kept.

Cells are measured in the order of interest, and the file is written after each. None is begun that may end after
`--seconds`, by what cells of its mode took; such cells, and those that fail, say so. `--small` takes tiny shapes and
few steps, which shows on any machine in a minute or two that every cell runs.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measured import overhead, with_origin
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

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
TOTAL_STEPS = 10_000


@dataclass(frozen=True)
class Size:
    """How large models, inputs and measurements are."""

    layers: int = 12
    width: int = 768
    tokens: int = 128
    image: int = 224
    patch: int = 16
    batches: tuple[int, ...] = (32, 128)
    rounds: int = 6
    block: int = 10
    warm_up: int = 8
    compensation: int = 16


SMALL = Size(
    layers=2, width=48, tokens=8, image=32, patch=8, batches=(8, 16), rounds=2, block=2, warm_up=4, compensation=4
)


@dataclass(frozen=True)
class Cell:
    """One training under one set of conditions, which searches are compared in."""

    model: str
    batch: int
    dtype: str
    compiled: bool

    @property
    def mode(self) -> str:
        return "compiled" if self.compiled else "eager"

    @property
    def name(self) -> str:
        return f"{self.model}, batch {self.batch}, {self.dtype}, {self.mode}"

    @property
    def scores(self) -> tuple[Score | None, ...]:
        # Coefficients are refused under float16.
        return (None, "squared-gradient", "coefficient") if self.dtype == "bf16" else (None, "squared-gradient")


def made(name: str, batch: int, size: Size) -> tuple[PreTrainedModel, dict[str, Tensor]]:
    """A model with random weights, and a batch for it; images in half precision."""
    torch.manual_seed(0)
    shape = {"num_hidden_layers": size.layers, "hidden_size": size.width, "intermediate_size": 4 * size.width}
    with DEVICE:
        if name == "bert":
            inputs = {"input_ids": torch.randint(0, 30_000, (batch, size.tokens)), "labels": torch.arange(batch) % 2}
            return BertForSequenceClassification(BertConfig(**shape)), inputs
        images = torch.randn(batch, 3, size.image, size.image, dtype=torch.float16)
        config = ViTConfig(image_size=size.image, patch_size=size.patch, num_labels=10, **shape)
        return ViTForImageClassification(config), {"pixel_values": images, "labels": torch.arange(batch) % 10}


class Training:
    """A training of a cell; without a score it is plain."""

    def __init__(self, cell: Cell, score: Score | None, size: Size, delay: int | None, record: Path) -> None:
        model, self.inputs = made(cell.model, cell.batch, size)
        self.model = model.train()
        self.dtype = DTYPES[cell.dtype]
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, fused=True)
        self.scaler = torch.amp.GradScaler(DEVICE.type, enabled=cell.dtype == "fp16")
        self.search = None
        if score is not None:
            config = eb.SearchConfig(heads=0.5, neurons=0.5, score=score)
            self.search = eb.Search(
                model,
                config,
                total_steps=TOTAL_STEPS,
                delay=delay,
                recording=eb.Recording(record),
                scaler=self.scaler if self.scaler.is_enabled() else None,
            )
        if cell.compiled:
            # Without a GPU what is shown is that the cell runs, and no code generated for it.
            model.compile(backend="inductor" if DEVICE.type == "cuda" else "aot_eager")

    def step(self) -> None:
        with torch.autocast(DEVICE.type, self.dtype):
            loss = self.model(**self.inputs).loss
        if self.search is not None:
            loss = loss + self.search.penalty()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        if self.search is not None:
            self.search.step()


def synchronize() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def allocated() -> int:
    """Bytes that the allocator holds; on a CPU nobody counts them."""
    return torch.cuda.memory_allocated() if DEVICE.type == "cuda" else 0


class Peak:
    """Bytes that the allocator holds at its peak above what it holds now."""

    def __init__(self) -> None:
        self._held = allocated()
        if DEVICE.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def bytes(self) -> int:
        return torch.cuda.max_memory_allocated() - self._held if DEVICE.type == "cuda" else 0


def waits(step: Callable[[], None], steps: int) -> float | None:
    """Times a step that torch counts the host as waiting for the device."""
    if DEVICE.type != "cuda":
        return None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        for _ in range(steps):
            step()
        torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing" in str(warning.message) for warning in caught) / steps


def steps_of(cell: Cell, size: Size, delay: int | None, directory: Path) -> dict[str, Any]:
    """What searches add to a step of a cell."""
    trainings: dict[Score | None, Training] = {}
    memory: dict[Score | None, int] = {}
    for score in cell.scores:
        held = allocated()
        trainings[score] = Training(cell, score, size, delay, directory / f"{cell.name}, {score}")
        memory[score] = allocated() - held
    waited = {}
    # Only now: a search that begins drops all compiled code.
    for score, training in trainings.items():
        peak = Peak()
        for _ in range(size.warm_up):
            training.step()
        synchronize()
        memory[score] += peak.bytes()
        waited[score] = waits(training.step, size.block)
    seconds: dict[Score | None, list[float]] = {score: [] for score in trainings}
    host: dict[Score | None, list[float]] = {score: [] for score in trainings}
    for _ in range(size.rounds):
        for score, training in trainings.items():
            synchronize()
            begin = time.perf_counter()
            for _ in range(size.block):
                training.step()
            queued = time.perf_counter() - begin
            synchronize()
            seconds[score].append((time.perf_counter() - begin) / size.block)
            host[score].append(queued / size.block)
    plain = seconds[None]
    figures: dict[str, Any] = {}
    for score, values in seconds.items():
        figures[score or "none"] = {
            "step_milliseconds": round(1e3 * statistics.median(values), 3),
            "host_milliseconds": round(1e3 * statistics.median(host[score]), 3),
            "waits_per_step": waited[score],
            "peak_megabytes": round(memory[score] / 2**20, 1) or None,
            **({} if score is None else overhead(values, plain)),
        }
    if "coefficient" not in trainings:
        figures["coefficient"] = "refused under float16"
    return figures


def cut_of(name: str, size: Size) -> dict[str, Any]:
    """Seconds of a cut of half of the heads and neurons, without and with the refit."""
    figures = {}
    for how in ("plain", "compensated"):
        for _ in range(2):  # the first one also loads kernels
            model, inputs = made(name, size.batches[0], size)
            optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, fused=True)
            with torch.autocast(DEVICE.type, torch.bfloat16):
                loss = model(**inputs).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.5), seed=0)
            batches = [inputs] * size.compensation if how == "compensated" else None
            peak = Peak()
            synchronize()
            begin = time.perf_counter()
            with torch.autocast(DEVICE.type, torch.bfloat16):
                eb.prune(model, ticket, optimizer=optimizer, compensate=batches)
            synchronize()
            seconds = time.perf_counter() - begin
        figures[how] = {"seconds": round(seconds, 3), "peak_megabytes": round(peak.bytes() / 2**20, 1) or None}
    return figures


def works(size: Size, delay: int | None, directory: Path) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """All that is measured, by name, in the order of interest."""
    models = "bert", "vit"
    for compiled in (False, True):
        for dtype, batch, model in itertools.product(DTYPES, size.batches, models):
            cell = Cell(model, batch, dtype, compiled)
            yield cell.name, partial(steps_of, cell, size, delay, directory)
        if not compiled:
            for model in models:
                yield f"{model}, a cut", partial(cut_of, model, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=540, help="in which to end")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", default="", help="what the names of the cells hold that are measured")
    parser.add_argument("--delay", type=int, help="by default that of a search; 0 waits for the device at every step")
    given = parser.parse_args()
    end = time.monotonic() + given.seconds
    size = SMALL if given.small else Size()
    figure: dict[str, Any] = {
        "figure": "what a search adds to a step",
        "device": torch.cuda.get_device_name() if DEVICE.type == "cuda" else "none",
        "torch": torch.__version__,
        "size": asdict(size),
    }
    longest: dict[str, float] = {}
    failed = False
    with tempfile.TemporaryDirectory() as directory:
        for name, work in works(size, given.delay, Path(directory)):
            if given.only not in name:
                continue
            mode, begin = name.rpartition(", ")[2], time.monotonic()
            if begin + longest.get(mode, 0) >= end:
                figure[name] = f"not measured: it may have ended after {given.seconds:g} seconds"
            else:
                try:
                    figure[name] = work()
                except Exception as error:  # the others are measured all the same
                    failed = True
                    figure[name] = f"failed: {type(error).__name__}: {error}"
                longest[mode] = max(longest.get(mode, 0), time.monotonic() - begin)
                gc.collect()
                if DEVICE.type == "cuda":
                    torch.cuda.empty_cache()
            given.output.write_text(with_origin(figure) + "\n", encoding="utf-8")
    sys.exit(failed)


if __name__ == "__main__":
    main()
