"""Trainings that continue with the small network: `continuing_worker.py DIRECTORY LOOP ...`.

LOOP is trainer, lightning, plain, fsdp, or plain-static and plain-views by other settings of DDP. Started by torchrun,
each of several processes takes its part of each global batch. What it has seen goes into `process-RANK.json`, per loop:
the loss of every global batch, the ticket's step and masks, and sums of the weights. With --die-at the last process
ends itself in the Trainer's training; with LOOP resumed that goes on from the newest checkpoint in --died, by the small
network. LOOP rewound trains the small network from the initial weights, twice. LOOP refusals says what processes that
do not agree are told.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import DDPStrategy
from refusals import refusals
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from worker import BATCH, batches, end_if_stuck, leave, model_to_train

import earlybird as eb
from earlybird.anatomy.wrappers import unwrapped
from earlybird.integrations.hf_trainer import train_early_bird
from earlybird.integrations.lightning import EarlyBirdCallback

STEPS, SAVED_EVERY = 40, 16
CONFIG = eb.SearchConfig(
    heads=0.5, neurons=0.5, score="squared-gradient", detector="fixed-time", threshold=0.25, compensation=4
)
DDP_SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "plain-static": {"static_graph": True},
    "plain-views": {"gradient_as_bucket_view": True, "bucket_cap_mb": 0.01},
}


Cut = Callable[
    [nn.Module, torch.optim.Optimizer, eb.Ticket, list[dict[str, Tensor]]], tuple[nn.Module, torch.optim.Optimizer]
]


def rank_and_processes() -> tuple[int, int]:
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def mean_over_processes(value: Tensor) -> float:
    value = value.detach().clone()
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(value)
        value /= torch.distributed.get_world_size()
    return float(value)


def in_ddp(model: nn.Module, settings: dict[str, Any]) -> nn.Module:
    return DistributedDataParallel(model, **settings) if torch.distributed.is_initialized() else model


def part_of(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    rank, processes = rank_and_processes()
    part = slice(rank * BATCH // processes, (rank + 1) * BATCH // processes)
    return {key: value[part] for key, value in batch.items()}


def plain_loop(settings: dict[str, Any]) -> dict[str, Any]:
    return loop(in_ddp(model_to_train(), settings), pruned_in_place)


def fsdp_loop() -> dict[str, Any]:
    return loop(sharded(model_to_train()), gathered_and_pruned)


def loop(model: nn.Module, cut: Cut) -> dict[str, Any]:
    optimizer: torch.optim.Optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    search = eb.Search(model, CONFIG, total_steps=STEPS)
    losses, seen, ticket = [], [], None
    for own in map(part_of, batches()[:STEPS]):
        losses.append(stepped(model, optimizer, own))
        seen.append(own)
        if ticket is None and (ticket := search.step()) is not None:
            search.finish()
            model, optimizer = cut(model, optimizer, ticket, seen[-4:])
    weights = dict(unwrapped(model).named_parameters())
    return outcome({name: whole_tensor(each) for name, each in weights.items()}, ticket, losses)


def whole_tensor(parameter: Tensor) -> Tensor:
    return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter


def pruned_in_place(
    model: nn.Module, optimizer: torch.optim.Optimizer, ticket: eb.Ticket, newest: list[dict[str, Tensor]]
) -> tuple[nn.Module, torch.optim.Optimizer]:
    return eb.prune(model, ticket, optimizer=optimizer, compensate=newest), optimizer


def gathered_and_pruned(
    model: nn.Module, optimizer: torch.optim.Optimizer, ticket: eb.Ticket, newest: list[dict[str, Tensor]]
) -> tuple[nn.Module, torch.optim.Optimizer]:
    whole = model_to_train()
    state = eb.prune_sharded(model, whole, ticket, optimizer=optimizer, compensate=newest)
    small = sharded(whole)
    again = torch.optim.AdamW(small.parameters(), lr=1e-3)
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_optimizer_state_dict(small, again, state, options=options)
    return small, again


def sharded(model: Any) -> nn.Module:
    for layer in model.bert.encoder.layer:
        fully_shard(layer)
    return fully_shard(model)


def stepped(model: nn.Module, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor]) -> float:
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return mean_over_processes(loss)


def rewound(directory: Path) -> list[dict[str, Any]]:
    """Twice the whole way by a Trainer, the second time where the first one's files lie."""
    trainings = []
    for _ in range(2):
        small = Trainer(model_to_train(), trainer_settings(directory / "rewound"), train_dataset=examples())
        ticket = train_early_bird(small, replace(CONFIG, detector="hamming", threshold=None), weights="rewind")
        assert isinstance(small.model, nn.Module)
        trainings.append(outcome(dict(small.model.named_parameters()), ticket, []))
    return trainings


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


def trainer(directory: Path, die_at: int | None = None, *, resume: bool = False) -> dict[str, Any]:
    output = directory / "trainer"
    newest = str(max(output.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))) if resume else None
    model = model_to_train() if newest is None else eb.load(newest)
    noted = Losses(die_at)
    small = Trainer(model, trainer_settings(output), train_dataset=examples(), callbacks=[noted])
    ticket = None
    if newest is not None:
        small.train(resume_from_checkpoint=newest)
    else:
        ticket = train_early_bird(small, CONFIG, weights="continue")
    assert small.state.global_step == STEPS
    return outcome(dict(model.named_parameters()), ticket, noted.losses)


def trainer_settings(output: Path) -> TrainingArguments:
    _, processes = rank_and_processes()
    return TrainingArguments(
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


def examples() -> list[dict[str, Tensor]]:
    return [
        {"input_ids": ids, "labels": label}
        for batch in batches()
        for ids, label in zip(batch["input_ids"], batch["labels"], strict=True)
    ]


class Classifier(pl.LightningModule):
    """Notes the loss of every global batch."""

    def __init__(self) -> None:
        super().__init__()
        self.model = model_to_train()
        self.losses: list[float] = []

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        loss: Tensor = self.model(**batch).loss
        self.losses.append(mean_over_processes(loss))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def lightning(directory: Path) -> dict[str, Any]:
    _, processes = rank_and_processes()
    module, callback = Classifier(), EarlyBirdCallback("model", CONFIG, then="continue")
    pl.Trainer(
        max_steps=STEPS,
        max_epochs=1,
        accelerator="cpu",
        devices=processes,
        strategy=DDPStrategy(process_group_backend="gloo") if processes > 1 else "auto",
        callbacks=[callback],
        default_root_dir=directory,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    ).fit(module, DataLoader([part_of(batch) for batch in batches()], batch_size=None))
    return outcome(dict(module.model.named_parameters()), callback.ticket, module.losses)


def outcome(weights: dict[str, Tensor], ticket: eb.Ticket | None, losses: list[float]) -> dict[str, Any]:
    return {
        "losses": losses,
        "step": None if ticket is None else ticket.provenance["draw_step"],
        "masks": None if ticket is None else {kind: mask.tolist() for kind, mask in ticket.masks.items()},
        "shapes": [list(each.shape) for each in weights.values()],
        "weights": [each.detach().double().sum().item() for each in weights.values()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("loops", nargs="+")
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--died", type=Path)
    arguments = parser.parse_args()
    end_if_stuck()
    rank, processes = rank_and_processes()
    if processes > 1:
        torch.distributed.init_process_group("gloo")
    directory = arguments.directory
    loops: dict[str, Callable[[], Any]] = {
        "trainer": lambda: trainer(directory, arguments.die_at),
        "resumed": lambda: trainer(arguments.died, resume=True),
        "lightning": lambda: lightning(directory),
        "rewound": lambda: rewound(directory),
        "fsdp": fsdp_loop,
        "refusals": lambda: refusals(directory),
        **{name: partial(plain_loop, settings) for name, settings in DDP_SETTINGS.items()},
    }
    content = {loop: loops[loop]() for loop in arguments.loops}
    (directory / f"process-{rank}.json").write_text(json.dumps(content))
    leave()


if __name__ == "__main__":
    main()
