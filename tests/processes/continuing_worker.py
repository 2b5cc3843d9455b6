"""A training that continues with the small network: `continuing_worker.py DIRECTORY LOOP HOW`.

LOOP is plain or trainer, HOW is alone or ddp. Each process takes its part of each global batch. What it has seen goes
into `process-RANK.json`: the loss of every global batch, the ticket's step and masks, and a sum of the weights. With
--die-at the last process ends itself there, once; with --resume the training goes on from the newest checkpoint, by the
small network.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from worker import BATCH, batches, end_if_stuck, leave, model_to_train

import earlybird as eb
from earlybird.integrations.hf_trainer import train_early_bird

STEPS, SAVED_EVERY = 40, 16
CONFIG = eb.SearchConfig(
    heads=0.5, neurons=0.5, score="squared-gradient", detector="fixed-time", threshold=0.25, compensation=4
)
DDP_SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "static": {"static_graph": True},
    "views": {"gradient_as_bucket_view": True, "bucket_cap_mb": 0.01},
}


def rank_and_processes() -> tuple[int, int]:
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def mean_over_processes(value: torch.Tensor) -> float:
    value = value.detach().clone()
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(value)
        value /= torch.distributed.get_world_size()
    return float(value)


def plain_loop(directory: Path, how: str, settings: str) -> dict[str, Any]:
    inner = model_to_train()
    model: torch.nn.Module = inner
    if how == "ddp":
        torch.distributed.init_process_group("gloo")
        model = DistributedDataParallel(inner, **DDP_SETTINGS[settings])
    rank, processes = rank_and_processes()
    part = slice(rank * BATCH // processes, (rank + 1) * BATCH // processes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    search = eb.Search(model, CONFIG, total_steps=STEPS)
    losses, seen, ticket = [], [], None
    for batch in batches()[:STEPS]:
        own = {key: value[part] for key, value in batch.items()}
        loss = model(**own).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(mean_over_processes(loss))
        seen.append(own)
        if ticket is None and (ticket := search.step()) is not None:
            search.finish()
            eb.prune(model, ticket, optimizer=optimizer, compensate=seen[-4:])
    assert ticket is not None
    return outcome(inner, ticket, losses)


class Losses(TrainerCallback):
    """Notes the loss of every step as the Trainer logs it, averaged over the processes; ends the last at a step."""

    def __init__(self, die_at: int | None) -> None:
        self.losses: list[float] = []
        self.die_at = die_at

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if "loss" in kwargs["logs"]:
            self.losses.append(kwargs["logs"]["loss"])

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        rank, processes = rank_and_processes()
        if state.global_step == self.die_at and rank == processes - 1:
            os.kill(os.getpid(), signal.SIGKILL)


def trainer(directory: Path, die_at: int | None, resume: bool) -> dict[str, Any]:
    _, processes = rank_and_processes()
    examples = [
        {"input_ids": ids, "labels": label}
        for batch in batches()
        for ids, label in zip(batch["input_ids"], batch["labels"], strict=True)
    ]
    output = directory / "trainer"
    newest = str(max(output.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))) if resume else None
    arguments = TrainingArguments(
        str(output),
        max_steps=STEPS,
        per_device_train_batch_size=BATCH // processes,
        learning_rate=1e-3,
        logging_steps=1,
        save_steps=SAVED_EVERY,
        report_to=[],
        train_sampling_strategy="sequential",
        # Otherwise the Trainer multiplies the loss by the number of processes, for models that average over all tokens.
        average_tokens_across_devices=False,
        disable_tqdm=True,
        use_cpu=True,
    )
    model = model_to_train() if newest is None else eb.load(newest)
    noted = Losses(die_at)
    small = Trainer(model, arguments, train_dataset=examples, callbacks=[noted])
    ticket = None
    if newest is not None:
        small.train(resume_from_checkpoint=newest)
    else:
        ticket = train_early_bird(small, CONFIG, weights="continue")
    assert small.state.global_step == STEPS
    return outcome(model, ticket, noted.losses)


def outcome(model: torch.nn.Module, ticket: eb.Ticket | None, losses: list[float]) -> dict[str, Any]:
    return {
        "losses": losses,
        "step": None if ticket is None else ticket.provenance["draw_step"],
        "masks": None if ticket is None else {kind: mask.tolist() for kind, mask in ticket.masks.items()},
        "parameters": sum(each.numel() for each in model.parameters()),
        "weights": [each.detach().double().sum().item() for each in model.parameters()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("loop", choices=("plain", "trainer"))
    parser.add_argument("how", choices=("alone", "ddp"))
    parser.add_argument("--settings", default="default", choices=list(DDP_SETTINGS))
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    end_if_stuck()
    if arguments.loop == "plain":
        content = plain_loop(arguments.directory, arguments.how, arguments.settings)
    else:
        content = trainer(arguments.directory, arguments.die_at, arguments.resume)
    (arguments.directory / f"process-{rank_and_processes()[0]}.json").write_text(json.dumps(content))
    leave()


if __name__ == "__main__":
    main()
