"""Prune heads and neurons of names of timm, built tiny, and write what comes out as a table.

    python benchmarks/timm/table.py [--output DIRECTORY]     (make timm-table)

exact: the pruned model's outputs are the masked one's within 1e-5 of the largest output, fused attention and not.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import timm
import torch
from tiny_timm import SIZES, build, images
from torch import nn

import earlybird as eb

RATIO = 0.5


def outcome(model: nn.Module, anatomy: eb.Anatomy, kind: str, x: torch.Tensor) -> str:
    if kind not in anatomy.units:
        return "left out"
    ticket = eb.Ticket.random(anatomy, eb.PruningConfig(**{kind: RATIO}))
    try:
        pruned = eb.prune(copy.deepcopy(model), ticket)
    except eb.InputError:
        return "refused"
    masked = eb.apply_mask(copy.deepcopy(model), ticket)
    for fused in (True, False):
        for module in (*pruned.modules(), *masked.modules()):
            if hasattr(module, "fused_attn"):
                module.fused_attn = fused
        with torch.no_grad():
            expected, found = masked(x), pruned(x)
        if not float((expected - found).abs().max()) < 1e-5 * max(1.0, float(expected.abs().max())):
            return "wrong"
    return f"exact: {sum(ticket.kept(kind))} of {sum(anatomy.units[kind])}"


def row(name: str) -> str:
    model, x = build(name), images(name)
    anatomy = eb.Anatomy.of(model)
    heads, neurons = (outcome(model, anatomy, kind, x) for kind in ("heads", "neurons"))
    remark = "; ".join(dict.fromkeys(left.reason for left in anatomy.left_out))
    return f"| {name} | {heads} | {neurons} | {remark} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/timm"))
    arguments = parser.parse_args()
    rows = [row(name) for name in SIZES]
    arguments.output.mkdir(parents=True, exist_ok=True)
    text = [
        "# Models of timm, pruned",
        "",
        f"timm {timm.__version__}, torch {torch.__version__}. Made by `make timm-table`: each name built tiny with"
        f" random weights, {RATIO:.0%} of its heads and then {RATIO:.0%} of its neurons pruned at random. exact: the"
        " outputs are those of the model whose units were only masked, within 1e-5 of the largest output, with"
        " fused attention and without; then the units kept. left out: not found, or known not to be separable, for the"
        " reason in the remark. refused: `prune` says that it cannot check or cannot do it, and changes nothing.",
        "",
        "| name | heads | neurons | left out, because |",
        "| --- | --- | --- | --- |",
        *rows,
    ]
    (arguments.output / "README.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
