"""Prune heads, neurons and experts of every architecture that transformers ships, at random, and see what comes out.

    python benchmarks/scan/scan.py [MODEL_TYPE ...] [--output DIRECTORY]

Each kind of each architecture that can be built tiny and run is one of
    exact     the pruned model's outputs are the masked one's, within 1e-4 of the largest output
    refused   earlybird says why it does not prune the kind (none of its blocks)
    none      the architecture has nothing of the kind: no module calls itself attention, MLP or experts
    wrong     the outputs differ
    crashed   anything else was raised
"""

from __future__ import annotations

import argparse
import copy
import json
import signal
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import transformers
import zoo
from torch import nn

import earlybird as eb
from earlybird.anatomy.unknown import ATTENTION_WORDS, MLP_WORDS
from earlybird.surgery.outputs import largest_difference, output_tensors

RATIOS = {"heads": 0.4, "neurons": 0.4, "experts": 0.4}
WORDS = {"heads": ATTENTION_WORDS, "neurons": MLP_WORDS, "experts": ("experts",)}
SECONDS = 60


def outcome(model: nn.Module, inputs: dict[str, Any], kind: str) -> tuple[str, str]:
    """What pruning one kind comes to, and a remark."""
    named = any(word in type(m).__name__.lower() for m in model.modules() for word in WORDS[kind])
    if kind == "experts" and not named:
        return "none", ""
    try:
        anatomy = eb.Anatomy.of(model)
        left = [str(out) for out in anatomy.left_out]
        if kind not in anatomy.units:
            reason = anatomy.lack_of(kind) if kind == "experts" else "; ".join(left[:1])
            return ("refused", reason) if named else ("none", "")
        ticket = eb.Ticket.random(anatomy, eb.PruningConfig(**{kind: RATIOS[kind]}), seed=1)
    except eb.InputError as error:
        return "refused", str(error)
    except Exception as error:
        return "crashed", f"{type(error).__name__}: {error}"
    try:
        masked = eb.apply_mask(copy.deepcopy(model), ticket)
        pruned, on_a_batch = prune(model, ticket, inputs)
    except eb.InputError as error:
        return "refused", str(error)
    except Exception as error:
        return "crashed", f"{type(error).__name__}: {error}"
    try:
        with torch.no_grad():
            dense, before, after = (run(m, inputs) for m in (model, masked, pruned))
        scale = max(1.0, max(float(t.abs().nan_to_num().max()) for t in before if t.numel()))
        difference = largest_difference(before, after) / scale
        effect = largest_difference(dense, before) / scale
    except Exception as error:
        return "crashed", f"{type(error).__name__}: {error}"
    smaller = sum(p.numel() for p in pruned.parameters()) < sum(p.numel() for p in model.parameters())
    if not difference < 1e-4 or not smaller:
        return "wrong", f"difference {difference:.1e}, effect {effect:.1e}, smaller: {smaller}"
    remarks = [] if effect > 0 else ["without effect on the outputs"]
    remarks += ["checked on a batch, by prune(model, ticket, inputs=batch)"] if on_a_batch else []
    remarks += [f"{len(left)} left out: {left[0]}"] if left else []
    return "exact", "; ".join(remarks)


def prune(model: nn.Module, ticket: eb.Ticket, inputs: dict[str, Any]) -> tuple[nn.Module, bool]:
    """A pruned copy, and whether that took a batch, as the refusal without one says."""
    try:
        return eb.prune(copy.deepcopy(model), ticket), False
    except eb.InputError as error:
        if "inputs=batch" not in str(error):
            raise
    return eb.prune(copy.deepcopy(model), ticket, inputs=inputs), True


def run(model: nn.Module, inputs: dict[str, Any]) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return output_tensors(model(**inputs))


def too_slow(*_: Any) -> None:
    raise TimeoutError(f"not done after {SECONDS} seconds of processor")


def limit(seconds: int) -> None:
    """End what runs from now on after so many seconds of processor, whatever else the machine does; 0: never."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_types", nargs="*", help="by default all")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/scan"))
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    signal.signal(signal.SIGPROF, too_slow)
    rows: list[dict[str, str]] = []
    unbuilt: dict[str, str] = {}
    start = time.monotonic()
    for model_type in arguments.model_types or zoo.architectures():
        limit(SECONDS)
        try:
            model = zoo.tiny_model(model_type)
            inputs = zoo.tiny_inputs(model)
            with torch.no_grad():
                found = run(model, inputs)
            if not found or not all(bool(t.isfinite().any()) for t in found if t.numel()):
                raise ValueError("its outputs are not finite")
        except Exception as error:
            unbuilt[model_type] = f"{type(error).__name__}: {error}".split("\n")[0][:160]
            continue
        finally:
            limit(0)
        row = {"model_type": model_type, "class": type(model).__name__}
        for kind in RATIOS:
            limit(SECONDS)
            row[kind], row[f"{kind}_remark"] = outcome(model, inputs, kind)
            limit(0)
        rows.append(row)
        if arguments.model_types:
            print(row)
    if not arguments.model_types:
        write(arguments.output, rows, unbuilt)
    for kind in RATIOS:
        print(kind, dict(Counter(row[kind] for row in rows)))
    print(f"{len(rows)} architectures in {time.monotonic() - start:.0f} s, {len(unbuilt)} not built", file=sys.stderr)


def write(directory: Path, rows: list[dict[str, str]], unbuilt: dict[str, str]) -> None:
    """The table for people, and its content for machines."""
    directory.mkdir(parents=True, exist_ok=True)
    counts = {kind: Counter(row[kind] for row in rows) for kind in RATIOS}
    names = ("exact", "refused", "none", "wrong", "crashed")
    lines = [
        "# Every architecture of transformers, pruned",
        "",
        f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}. Made by `make scan`: each"
        f" base model built tiny from its config, {RATIOS['heads']:.0%} of its heads, of its neurons and of its experts"
        " pruned at random in turn, the outputs compared with those of the model whose units were only masked.",
        "",
        "| | " + " | ".join(names) + " |",
        "| --- | " + " | ".join("---" for _ in names) + " |",
        *(f"| {kind} | " + " | ".join(str(counts[kind][name]) for name in names) + " |" for kind in counts),
        "",
        f"| architecture | {' | '.join(RATIOS)} | remark |",
        f"| --- {'| --- ' * len(RATIOS)}| --- |",
    ]
    for row in rows:
        remark = "; ".join(dict.fromkeys(row[f"{kind}_remark"] for kind in counts if row[f"{kind}_remark"]))
        remark = remark.replace("|", "/").replace("\n", " ")
        outcomes = " | ".join(row[kind] for kind in RATIOS)
        lines.append(f"| {row['model_type']} | {outcomes} | {remark[:300]} |")
    lines += ["", f"Not built from generic sizes and inputs ({len(unbuilt)}): {', '.join(unbuilt)}.", ""]
    (directory / "README.md").write_text("\n".join(lines), encoding="utf-8")
    (directory / "scan.json").write_text(
        json.dumps({"rows": rows, "unbuilt": unbuilt}, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
