"""Greedy tokens of pruned decoders in llama.cpp against those of transformers.

    python benchmarks/served/llama_cpp_tokens.py PRUNED [PRUNED ...] --converter convert_hf_to_gguf.py --python PYTHON
        --xquad XQUAD.json --output DIRECTORY [--cache f16]

PRUNED is what `earlybird.save` wrote of a uniform ticket, fine-tuned or not. llama.cpp's own converter makes an F32
file of it, in a process that does not import earlybird. PYTHON is an interpreter that has llama-cpp-python. Both sides
write 32 tokens, an end token or not. The GGUF files and `llama-cpp.csv` go into DIRECTORY; the rows are printed as a
table, too.

Exit status 1 where the first other token of an answer is not explained: the two largest logits of transformers lie
more than 1e-3 apart there, or llama.cpp's token is neither of the two. After the first other token the two write other
texts, which are not compared.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from prompts import PROMPTS, prompts_of
from transformers import AutoModelForCausalLM, PreTrainedModel

import earlybird as eb

TOKENS, NEAR = 32, 1e-3


@dataclass(frozen=True)
class Answer:
    """Of one prompt: the tokens, the two best at each of them, how far apart, and the logits of the first."""

    tokens: list[int]
    best: list[set[int]]
    gaps: list[float]
    first: torch.Tensor


@torch.no_grad()
def answer(model: PreTrainedModel, prompt: Sequence[int]) -> Answer:
    """Greedy tokens, with a cache of keys and values."""
    tokens: list[int] = []
    best, gaps, first, cache = [], [], None, None
    ids = torch.tensor([prompt])
    for _ in range(TOKENS):
        output = model(input_ids=ids, past_key_values=cache, use_cache=True)
        cache, logits = output.past_key_values, output.logits[0, -1]
        first = logits if first is None else first
        two = logits.topk(2)
        best.append(set(two.indices.tolist()))
        gaps.append(float(two.values[0] - two.values[1]))
        tokens.append(int(two.indices[0]))
        ids = torch.tensor([tokens[-1:]])
    assert first is not None
    return Answer(tokens, best, gaps, first)


def compared(directory: Path, arguments: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """A row of the table, and whether every first other token is explained."""
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    prompts = prompts_of(directory, arguments.xquad)
    expected = [answer(model, prompt) for prompt in prompts]
    file = arguments.output / f"{directory.name}.gguf"
    convert = [sys.executable, str(arguments.converter), str(directory), "--outtype", "f32", "--outfile", str(file)]
    with file.with_suffix(".log").open("w") as log:
        subprocess.run(convert, check=True, stdout=log, stderr=log)
    asked = json.dumps({"prompts": prompts, "tokens": TOKENS, "cache": arguments.cache})
    script, logits = Path(__file__).with_name("answer_in_llama_cpp.py"), file.with_suffix(".npy")
    done = subprocess.run(
        [arguments.python, script, file, logits], input=asked, check=True, stdout=subprocess.PIPE, text=True
    )
    given = json.loads(done.stdout)["tokens"]
    differences, explained = [], True
    for here, there in zip(expected, given, strict=True):
        if here.tokens != there:
            step = next(i for i, (one, other) in enumerate(zip(here.tokens, there, strict=True)) if one != other)
            differences.append(f"token {step + 1}: {here.gaps[step]:.1e}")
            explained &= here.gaps[step] <= NEAR and there[step] in here.best[step]
    first = torch.stack([one.first for one in expected])
    apart = (first - torch.from_numpy(np.load(logits))).abs().max()
    units = eb.Anatomy.of(model).units
    row = {
        "directory": directory.name,
        "heads": _counts(units["heads"]),
        "neurons": _counts(units["neurons"]),
        "prompts with equal tokens": f"{PROMPTS - len(differences)} of {PROMPTS}",
        "first other token: gap of transformers' two largest logits there": "; ".join(differences) or "none",
        "smallest such gap of all tokens": f"{min(min(one.gaps) for one in expected):.1e}",
        "logits after the prompt, largest difference": f"{apart:.1e}",
    }
    return row, explained


def _counts(units: Sequence[int]) -> str:
    return f"{min(units)}" if min(units) == max(units) else f"{min(units)} to {max(units)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pruned", type=Path, nargs="+")
    parser.add_argument("--converter", type=Path, required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--xquad", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--cache", choices=["f32", "f16"], default="f32", help="type of llama.cpp's keys and values")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    results = [compared(directory, arguments) for directory in arguments.pruned]
    rows = [row for row, _ in results]
    with (arguments.output / "llama-cpp.csv").open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    print("| " + " | ".join(rows[0]) + " |\n" + "| --- " * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(row.values()) + " |")
    sys.exit(0 if all(explained for _, explained in results) else 1)


if __name__ == "__main__":
    main()
