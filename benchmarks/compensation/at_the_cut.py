"""What a cut costs before any training, refitted or not: an encoder's hidden state, a decoder's perplexity.

    python benchmarks/compensation/at_the_cut.py --minilm MINILM --sst2 SST2 --smollm2 SMOLLM2 --xquad XQUAD.json
        --output benchmarks/results/compensation

MINILM and SMOLLM2 are directories of models. SST2 holds train.tsv and dev.tsv (sentence, label). XQUAD.json is XQuAD in
English. Either pair may be left out. Writes hidden-state.csv, perplexity.csv and README.md's tables to standard output.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, set_seed

import earlybird as eb

# As the study of early draws trained: a tenth of an epoch of SST-2.
STEPS, EPOCH, BATCH, RATE = 43, 433, 16, 5e-5
REFIT_BATCHES = 16


def written(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write rows as CSV, and print them as a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    print("| " + " | ".join(rows[0]) + " |\n" + "| --- " * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")


def hidden_states(minilm: str, sst2: Path) -> Iterator[dict[str, Any]]:
    """Relative squared error of the last hidden state of dev sentences, right after half of the units are cut."""
    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    model = AutoModelForSequenceClassification.from_pretrained(minilm, num_labels=2).train()
    lines = [line.rsplit("\t", 1) for line in (sst2 / "train.tsv").read_text(encoding="utf-8").splitlines()]
    random.Random(0).shuffle(lines)

    def batch(some: Sequence[Sequence[str]]) -> dict[str, Tensor]:
        texts = tokenizer(
            [text for text, _ in some], truncation=True, max_length=128, padding=True, return_tensors="pt"
        )
        return {**texts, "labels": torch.tensor([int(label) for _, label in some])}

    batches = [batch(lines[first : first + BATCH]) for first in range(0, (STEPS + 64) * BATCH, BATCH)]
    dev = [line.rsplit("\t", 1) for line in (sst2 / "dev.tsv").read_text(encoding="utf-8").splitlines()]
    unseen = [batch(dev[first : first + 64]) for first in range(0, len(dev), 64)]
    search = eb.Search(model, eb.SearchConfig(heads=0.5, neurons=0.5, score="gradient"), total_steps=EPOCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    for one in batches[:STEPS]:
        model(**one).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        search.step()
    ticket = search.draw_now()
    search.finish()
    model.eval()
    ways: dict[str, dict[str, Any]] = {"none": {}, "means": {"method": "mean"}}
    ways |= {f"ridge {ridge:g}": {"ridge": ridge} for ridge in (0.001, 0.01, 0.1, 1.0)}
    for count in (REFIT_BATCHES, 4, 64):
        for name, how in ways.items() if count == REFIT_BATCHES else [("ridge 0.1", {"ridge": 0.1})]:
            refit = {} if name == "none" else {"compensate": batches[STEPS : STEPS + count], **how}
            pruned = eb.prune(copy.deepcopy(model), ticket, **refit)
            yield {
                "refit": name,
                "batches": 0 if name == "none" else count,
                "relative squared error": f"{relative_error(model, pruned, unseen):.3f}",
            }


def relative_error(dense: nn.Module, pruned: nn.Module, batches: Sequence[dict[str, Tensor]]) -> float:
    """Of the last hidden states of visible tokens, squared, over the dense ones' variance."""
    pairs = []
    with torch.no_grad():
        for batch in batches:
            visible = batch["attention_mask"].bool()
            pairs.append(
                [
                    model.eval()(**batch, output_hidden_states=True).hidden_states[-1][visible]
                    for model in (dense, pruned)
                ]
            )
    first, second = (torch.cat(states) for states in zip(*pairs, strict=True))
    return float((first - second).square().sum() / (first - first.mean(0)).square().sum())


def perplexities(smollm2: str, xquad: Path) -> Iterator[dict[str, Any]]:
    """Perplexity on blocks of 128 tokens that nothing was fitted on, right after the cut."""
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    model = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32)
    articles = json.loads(xquad.read_text(encoding="utf-8"))["data"]
    texts = [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]
    tokens = tokenizer("\n\n".join(texts), return_tensors="pt").input_ids[0]
    blocks = tokens[: len(tokens) // 128 * 128].reshape(-1, 128)
    order = torch.randperm(len(blocks), generator=torch.Generator().manual_seed(0))
    held, fitted = blocks[order[:32]], [{"input_ids": pair, "labels": pair} for pair in blocks[order[32:]].split(2)]
    scored, refit = fitted[:24], fitted[24:56]
    yield {"cut": "none", "choice": "", "refit": "", "perplexity": f"{perplexity(model, held):.1f}"}
    for ratios in ({"neurons": 0.2}, {"neurons": 0.4}, {"heads": 0.3, "neurons": 0.3}):
        config = eb.SearchConfig(**ratios, score="squared-gradient")
        search = eb.Search(model.train(), config, total_steps=len(scored))
        for batch in scored:
            model(**batch).loss.backward()
            model.zero_grad()
            search.step()
        chosen = search.draw_now()
        search.finish()
        by_chance = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(**ratios), seed=0)
        for name, ticket in (("random", by_chance), ("squared gradient", chosen)):
            for refitted in (False, True):
                pruned = eb.prune(copy.deepcopy(model), ticket, compensate=refit if refitted else None)
                yield {
                    "cut": ", ".join(f"{ratio:.0%} of {kind}" for kind, ratio in ratios.items()),
                    "choice": name,
                    "refit": "ridge 0.1" if refitted else "none",
                    "perplexity": f"{perplexity(pruned, held):,.1f}",
                }


def perplexity(model: nn.Module, blocks: Tensor) -> float:
    """exp of the mean loss over blocks (blocks, tokens), each by itself."""
    with torch.no_grad():
        losses = [float(model.eval()(input_ids=pair, labels=pair).loss) for pair in blocks.split(4)]
    return math.exp(sum(losses) / len(losses))


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minilm")
    parser.add_argument("--sst2", type=Path)
    parser.add_argument("--smollm2")
    parser.add_argument("--xquad", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    if given.minilm:
        written(list(hidden_states(given.minilm, given.sst2)), given.output / "hidden-state.csv")
    if given.smollm2:
        written(list(perplexities(given.smollm2, given.xquad)), given.output / "perplexity.csv")


if __name__ == "__main__":
    main()
