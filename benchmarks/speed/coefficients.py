"""Ways to train slimming coefficients, side by side: what each launches and takes, and how far they differ.

    OMP_NUM_THREADS=1 python benchmarks/speed/coefficients.py > benchmarks/results/speed/coefficients.json

`ways.py` says which. Each scales the output projections' weights, as a search does where there are more tokens than the
weight has rows; Adam trains the coefficients under an L1 penalty, AdamW the weights. Shapes: MiniLM's on 16 sentences
of 40 tokens, a ViT of the recipes' small size on 32 images, and a BERT of 12 layers so narrow that the CPU time of its
step is that of launching operations, as on a host that sets the pace for its GPU. Random weights, float32, no dropout.

Launches are the operations that compute or copy, each with all that it calls, by torch's profiler: what a GPU would
run as a kernel or a few. All trainings take their steps in turn, in a new order each round; what a way takes more than
the plain training of the same round is in CPU milliseconds, median and quartiles over the rounds.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from measured import report
from overhead import BATCH, small_vit
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from transformers import BertConfig, BertForSequenceClassification
from ways import WAYS, Kind, Way

import earlybird as eb

LEARNING_RATE, L1 = 0.01, 1e-4
# Views, allocations, and what does nothing but call others.
NO_LAUNCH = """
    alias as_strided chunk clone contiguous detach empty empty_like empty_strided expand expand_as flatten item resize_
    _local_scalar_dense lift_fresh narrow new_empty new_empty_strided permute reshape _reshape_alias resolve_conj
    resolve_neg result_type select slice split squeeze t to _to_copy transpose unbind unflatten _unsafe_view unsqueeze
    view view_as _foreach_mul _foreach_mul_ _foreach_div_
"""


def minilm() -> tuple[nn.Module, dict[str, Tensor]]:
    return _bert(384, 6, 30_522), _tokens(16, 40)


def vit() -> tuple[nn.Module, dict[str, Tensor]]:
    model, inputs = small_vit()
    return model, {**inputs, "labels": torch.arange(BATCH) % 10}


def narrow() -> tuple[nn.Module, dict[str, Tensor]]:
    return _bert(24, 12, 100), _tokens(2, 8)


def _bert(width: int, layers: int, words: int) -> nn.Module:
    config = BertConfig(
        vocab_size=words,
        hidden_size=width,
        num_hidden_layers=layers,
        intermediate_size=4 * width,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertForSequenceClassification(config)


def _tokens(batch: int, length: int) -> dict[str, Tensor]:
    return {"input_ids": torch.randint(0, 100, (batch, length)), "labels": torch.arange(batch) % 2}


class Training:
    """A training, with coefficients if a way is given."""

    def __init__(self, make: Callable[[], tuple[nn.Module, dict[str, Tensor]]], way: type[Way] | None = None) -> None:
        torch.manual_seed(0)
        self.model, self.inputs = make()
        anatomy = eb.Anatomy.of(self.model)
        self.kinds = [
            Kind([self.model.get_submodule(block.after.path) for block in blocks], blocks[0].units)
            for blocks in (anatomy.attention, anatomy.mlp)
        ]
        self.ways = [] if way is None else [way(kind) for kind in self.kinds]
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=5e-5, fused=True)
        self.own = torch.optim.Adam([kind.values for kind in self.kinds], lr=LEARNING_RATE)
        self.steps, self.loss = 0, 0.0

    def step(self) -> None:
        self.optimizer.zero_grad()
        for way in self.ways:
            way.before_forward()
        loss = self.model(**self.inputs).loss
        loss.backward()
        for way in self.ways:
            way.after_backward()
        self.optimizer.step()
        if self.ways:
            for kind in self.kinds:
                kind.values.grad = kind.gradient + L1 * torch.sign(1 + kind.values.detach())
            self.own.step()
            for way in self.ways:
                way.kind.gradient.zero_()
                way.after_step()
        self.steps, self.loss = self.steps + 1, loss.item()

    def differences(self, other: Training) -> dict[str, str]:
        """The largest difference of the coefficients, and that of the losses of the newest step."""
        of_kinds = [
            (mine.values - theirs.values).abs().max() for mine, theirs in zip(self.kinds, other.kinds, strict=True)
        ]
        return {
            "coefficients differ by": f"{torch.stack(of_kinds).max().item():.1e}",
            "losses differ by": f"{abs(self.loss - other.loss):.1e}",
        }


def operations(step: Callable[[], object]) -> dict[str, int]:
    """Operations of a step that torch names aten, and those of them that are launches."""
    for _ in range(3):
        step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step()
    called = [event for event in profiled.events() if event.name.startswith("aten::")]
    return {
        "operations": len(called),
        "launches": sum(launches(each.name) and not any(map(launches, callers(each))) for each in called),
    }


def launches(name: str) -> bool:
    return name.startswith("aten::") and name.removeprefix("aten::") not in NO_LAUNCH.split()


def callers(event: Any) -> Iterator[str]:
    while (event := event.cpu_parent) is not None:
        yield event.name


def milliseconds(trainings: dict[str, Training], rounds: int) -> dict[str, dict[str, Any]]:
    """CPU time of a step, and what of it each training takes more than the plain one of the same round."""
    taken: dict[str, list[float]] = {name: [] for name in trainings}
    order = list(trainings)
    shuffled = random.Random(0)
    for number in range(rounds + 2):
        shuffled.shuffle(order)
        for name in order:
            begin = time.process_time()
            trainings[name].step()
            if number > 1:
                taken[name].append(1e3 * (time.process_time() - begin))
    found = {}
    for name, values in taken.items():
        more = sorted(value - plain for value, plain in zip(values, taken["none"], strict=True))
        found[name] = {
            "step ms": round(statistics.median(values), 2),
            "fastest twentieth ms": round(statistics.mean(sorted(values)[: max(1, rounds // 20)]), 2),
            "more than plain ms": round(statistics.median(more), 2),
            "quartiles": [round(more[len(more) // 4], 2), round(more[-1 - len(more) // 4], 2)],
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, nargs=3, default=(20, 20, 300), help="of each shape")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    for make, rounds in zip((minilm, vit, narrow), given.rounds, strict=True):
        trainings = {"none": Training(make), "none again": Training(make)}
        trainings |= {name: Training(make, way) for name, way in WAYS.items()}
        counted = {name: operations(training.step) for name, training in trainings.items()}
        timed = milliseconds(trainings, rounds)
        first = trainings[next(iter(WAYS))]
        found[make.__name__] = {
            name: {
                **counted[name],
                **timed[name],
                **({"steps": training.steps, **training.differences(first)} if training.ways else {}),
            }
            for name, training in trainings.items()
        }
    report({"figure": "ways to train coefficients", **found})


if __name__ == "__main__":
    main()
