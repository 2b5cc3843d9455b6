"""What a search adds to a training step: operations launched, and its own share of the CPU time, by torch's profiler.

    OMP_NUM_THREADS=1 python benchmarks/speed/overhead.py > benchmarks/results/speed/overhead.json

MiniLM's shape (6 layers, 384 wide, 30,522 words) on 32 sentences of 40 tokens, and a ViT of the recipes' small size on
32 images; random weights, float32, AdamW. Operations are those that torch names aten, in a whole step and in its
forward pass: of a plain step, of one with a search by squared gradients (read from the weights' own gradients), with
the coefficients scaling features or weights by hooks at 1, and with trained ones. The search's own time is that of all
Python frames of earlybird, with what they launch.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from measured import report
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function
from transformers import BertConfig, BertForSequenceClassification, ViTConfig, ViTForImageClassification

import earlybird as eb
from earlybird.slimming.slimming import Slimming

BATCH, TOKENS = 32, 40


def minilm() -> tuple[nn.Module, dict[str, Any]]:
    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    return BertForSequenceClassification(config), {"input_ids": torch.randint(0, 30_000, (BATCH, TOKENS))}


def small_vit() -> tuple[nn.Module, dict[str, Any]]:
    config = ViTConfig(
        image_size=32,
        patch_size=4,
        hidden_size=192,
        num_hidden_layers=6,
        num_attention_heads=6,
        intermediate_size=768,
        num_labels=10,
    )
    return ViTForImageClassification(config), {"pixel_values": torch.randn(BATCH, 3, 32, 32)}


def stepping(make: Callable[[], tuple[nn.Module, dict[str, Any]]], how: str) -> Callable[[], None]:
    """What takes a step of a training in one of four ways."""
    torch.manual_seed(0)
    model, inputs = make()
    model.train()
    inputs["labels"] = torch.zeros(BATCH, dtype=torch.long)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    search, hooks = None, None
    if how in ("squared-gradient", "coefficient"):
        search = eb.Search(model, eb.SearchConfig(heads=0.4, neurons=0.6, score=how), total_steps=10_000)
    elif how == "hooks":
        hooks = Slimming(model, eb.Anatomy.of(model))

    def step() -> None:
        optimizer.zero_grad()
        with record_function("forward pass"):
            loss = model(**inputs).loss
        if search is not None:
            loss = loss + search.penalty()
        loss.backward()
        optimizer.step()
        if search is not None:
            search.step()
        if hooks is not None:
            for coefficients in hooks.coefficients.values():
                coefficients.gradients.zero_()

    return step


def measured(step: Callable[[], None], steps: int) -> dict[str, float]:
    """Operations of a step and of its forward pass, and the share of the time that earlybird's frames are entered."""
    for _ in range(3):
        step()
    with profile(activities=[ProfilerActivity.CPU], with_stack=True) as profiled:
        for _ in range(steps):
            with record_function("whole step"):
                step()
    events = profiled.profiler.kineto_results.events()
    spans = {
        name: [(each.start_ns(), each.end_ns()) for each in events if each.name() == name]
        for name in ("whole step", "forward pass")
    }
    operations = [each.start_ns() for each in events if each.name().startswith("aten::")]

    def inside(name: str) -> float:
        return sum(any(first <= at <= last for first, last in spans[name]) for at in operations) / steps

    own = sorted((each.start_ns(), each.end_ns()) for each in events if "earlybird/" in each.name())
    spent, until = 0, 0
    for first, last in own:
        spent += max(0, last - max(first, until))
        until = max(until, last)
    whole = sum(last - first for first, last in spans["whole step"])
    return {
        "operations of a step": inside("whole step"),
        "operations of its forward pass": inside("forward pass"),
        "own share of the step, %": round(100 * spent / whole, 2),
        "own ms": round(spent / steps / 1e6, 2),
        "step ms": round(whole / steps / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    steps = parser.parse_args().steps
    found = {
        name: {
            how: measured(stepping(make, how), steps) for how in ("none", "squared-gradient", "hooks", "coefficient")
        }
        for name, make in (("MiniLM's shape", minilm), ("small ViT", small_vit))
    }
    report({"figure": "what a search adds to a step", "steps": steps, **found})


if __name__ == "__main__":
    main()
