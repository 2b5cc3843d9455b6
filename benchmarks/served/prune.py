"""A real decoder cut by a uniform ticket and refitted, without training: what the other scripts here take.

    python benchmarks/served/prune.py MODEL OUTPUT --xquad XQUAD.json --heads 0.3 --neurons 0.3

Scores are mean squared gradients over 24 batches of 2 x 128 tokens of XQuAD's texts; the refit takes 32 others.
`--uneven` lets each layer keep another number of units.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import earlybird as eb

SCORED, REFITTED = 24, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--xquad", type=Path, required=True)
    parser.add_argument("--heads", type=float, default=0.0)
    parser.add_argument("--neurons", type=float, default=0.0)
    parser.add_argument("--uneven", action="store_true")
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    articles = json.loads(arguments.xquad.read_text(encoding="utf-8"))["data"]
    texts = [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]
    tokens = tokenizer("\n\n".join(texts), return_tensors="pt").input_ids[0]
    blocks = tokens[: len(tokens) // 128 * 128].reshape(-1, 128)
    order = torch.randperm(len(blocks), generator=torch.Generator().manual_seed(0))
    batches = [{"input_ids": pair, "labels": pair} for pair in blocks[order].split(2)]
    ratios = {"heads": arguments.heads, "neurons": arguments.neurons}
    config = eb.SearchConfig(
        **{kind: ratio for kind, ratio in ratios.items() if ratio},
        uniform=not arguments.uneven,
        score="squared-gradient",
    )
    search = eb.Search(model.train(), config, total_steps=SCORED)
    for batch in batches[:SCORED]:
        model(**batch).loss.backward()
        model.zero_grad()
        search.step()
    ticket = search.draw_now()
    search.finish()
    eb.prune(model.eval(), ticket, compensate=batches[SCORED : SCORED + REFITTED])
    eb.save(model, arguments.output, ticket=ticket, processor=tokenizer)
    print(f"{arguments.output}: {eb.Anatomy.of(model).units}")


if __name__ == "__main__":
    main()
