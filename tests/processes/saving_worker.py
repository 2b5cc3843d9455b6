"""Saving and exporting in two processes: `saving_worker.py DIRECTORY HOW`, started by torchrun.

Each process writes what it met into `process-RANK.json`.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch.distributed.fsdp import fully_shard
from transformers import PreTrainedTokenizerFast
from worker import end_if_stuck, leave, model_to_train

import earlybird as eb


def pruned(**ratios: float) -> Any:
    model = model_to_train()
    return eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(**ratios), seed=0))


def said_by(action: Any) -> list[str]:
    try:
        action()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return []


def same_after(directory: Path, model: Any) -> bool:
    """Whether what lies there now is the model."""
    loaded = eb.load(directory).state_dict()
    return all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())


def together(directory: Path, rank: int) -> dict[str, Any]:
    """Every process saves, and loads at once what lies there then."""
    model = pruned(heads=0.5, neurons=0.4)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"a": 0})))
    same = []
    for size in ("5GB", "20KB", "5GB"):
        torch.nn.init.constant_(model.classifier.weight, len(same))
        eb.save(model, directory / "out", max_shard_size=size, processor=tokenizer)
        same.append(same_after(directory / "out", model))
        torch.distributed.barrier()
    return {"same": same, "files": sorted(path.name for path in (directory / "out").iterdir())}


def in_turn(directory: Path, rank: int) -> dict[str, Any]:
    """One process after the other exports to the same directories."""
    model = pruned(neurons=0.4)
    for turn in range(2):
        if turn == rank:
            for format in ("dense", "per-layer-config"):
                eb.export(model, directory / format, format=format)
        torch.distributed.barrier()
    return {
        format: sorted(path.name for path in (directory / format).iterdir()) for format in ("dense", "per-layer-config")
    }


def first_alone(directory: Path, rank: int) -> dict[str, Any]:
    """The first process saves, and the others do not call."""
    model = pruned(heads=0.5)
    if rank == 0:
        eb.save(model, directory / "out")
    torch.distributed.barrier()
    return {"same": same_after(directory / "out", model)}


def failing(directory: Path, rank: int) -> dict[str, Any]:
    model = pruned(heads=0.5)
    failed = said_by(lambda: eb.save(model, directory / "nest" / "out", max_shard_size="no size"))
    refused = said_by(lambda: eb.export(model, directory / "nest" / "out", format="per-layer-config"))
    left = (directory / "nest").exists()
    torch.distributed.barrier()
    eb.save(model, directory / "out")
    return {"failed": failed, "refused": refused, "left": left, "same": same_after(directory / "out", model)}


def sharded(directory: Path, rank: int) -> dict[str, Any]:
    model = fully_shard(pruned(heads=0.5))
    return {"refused": said_by(lambda: eb.save(model, directory / "out")), "left": (directory / "out").exists()}


def main() -> None:
    ways = {way.__name__: way for way in (together, in_turn, first_alone, failing, sharded)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("how", choices=ways)
    arguments = parser.parse_args()
    end_if_stuck()
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    outcome = ways[arguments.how](arguments.directory, rank)
    (arguments.directory / f"process-{os.environ['RANK']}.json").write_text(json.dumps(outcome))
    leave()


if __name__ == "__main__":
    main()
