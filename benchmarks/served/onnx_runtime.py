"""Logits of decoders' ONNX exports in ONNX Runtime against those of transformers.

    python benchmarks/served/onnx_runtime.py PRUNED [PRUNED ...] --xquad XQUAD.json --output DIRECTORY

PRUNED is what `earlybird.save` wrote. The prompts are those of `llama_cpp_tokens.py`, one by one, and four of them as a
padded batch. The graphs go into DIRECTORY. Exit status 1 where two logits lie more than 1e-3 apart.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import onnxruntime
import torch
from prompts import prompts_of
from transformers import AutoModelForCausalLM

import earlybird as eb

NEAR = 1e-3


@torch.no_grad()
def largest_difference(directory: Path, xquad: Path, output: Path) -> float:
    """Over all logits at visible tokens; the batch is padded on the left."""
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    prompts = prompts_of(directory, xquad)
    eb.export(model, output / directory.name, format="onnx")
    session = onnxruntime.InferenceSession(output / directory.name / "model.onnx")
    longest = max(len(prompt) for prompt in prompts[:4])
    padded = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts[:4]])
    visible = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts[:4]])
    batches = [(torch.tensor([prompt]), torch.ones(1, len(prompt), dtype=torch.long)) for prompt in prompts]
    worst = 0.0
    for ids, mask in [*batches, (padded, visible)]:
        (logits,) = session.run(["logits"], {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
        apart = (torch.from_numpy(logits) - model(input_ids=ids, attention_mask=mask).logits)[mask.bool()]
        worst = max(worst, float(apart.abs().max()))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pruned", type=Path, nargs="+")
    parser.add_argument("--xquad", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| directory | largest difference of a logit |\n| --- | --- |")
    worst = 0.0
    for directory in arguments.pruned:
        apart = largest_difference(directory, arguments.xquad, arguments.output)
        print(f"| {directory.name} | {apart:.1e} |", flush=True)
        worst = max(worst, apart)
    sys.exit(0 if worst <= NEAR else 1)


if __name__ == "__main__":
    main()
