"""What of the Trainer goes with a search, tried on a tiny model: `trainer_features.py DIRECTORY`, started by torchrun.

`table` makes the table of docs/trainer-features.md. As a program it tries DDP, and writes each process's cells.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tiny_bert import tiny_bert
from torch import nn
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments

import earlybird as eb
from earlybird.integrations.hf_trainer import EarlyBirdCallback
from earlybird.vocabulary import AtDraw

STEPS, DRAWN_AFTER = 20, 8
SETTINGS: dict[str, Any] = {"heads": 0.5, "neurons": 0.5, "detector": "fixed-time", "threshold": 0.4}
CONFIG = eb.SearchConfig(score="squared-gradient", **SETTINGS)
SAVED = {"save_strategy": "steps", "save_steps": 4}
BEST = {**SAVED, "load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 4}


class StopAt(TrainerCallback):
    """An interrupted training."""

    def __init__(self, step: int | None) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = control.should_training_stop or state.global_step == self.step


class Enabling(TrainerCallback):
    """Sets attributes of a Trainer when its training begins, as what is not installed would have done before."""

    def __init__(self, trainer: Trainer, names: tuple[str, ...]) -> None:
        self.trainer, self.names = trainer, names

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for name in self.names:
            setattr(self.trainer, name, True)


class HalfTrainer(Trainer):
    """Has on a CPU what fp16=True gives a GPU: a gradient scaler, and autocast."""

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        self.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
        self.accelerator.native_amp = True


@dataclass(frozen=True)
class Feature:
    """Something that a Trainer does, and how it is tried.

    Attributes:
        name: as the table has it.
        note: what the table says of it.
        arguments: of the Trainer.
        config: of the search.
        callbacks: beside the search's.
        model: made anew for every training.
        trainer: the class.
        interrupted: the step at which a first training is interrupted, which a second one goes on from.
        enabled: attributes of the Trainer that are set for it.
        processes: how many train together.
    """

    name: str
    note: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    config: eb.SearchConfig = CONFIG
    callbacks: Callable[[], list[TrainerCallback]] = list
    model: Callable[[], nn.Module] = tiny_bert
    trainer: type[Trainer] = Trainer
    interrupted: int | None = None
    enabled: tuple[str, ...] = ()
    processes: int = 1


def with_lora() -> nn.Module:
    targets = ["query", "value", "dense"]
    return get_peft_model(tiny_bert(), LoraConfig(r=2, target_modules=targets, task_type="SEQ_CLS"))


FEATURES = (
    Feature("nothing else"),
    Feature("gradient accumulation", arguments={"gradient_accumulation_steps": 2}),
    Feature("gradient checkpointing", arguments={"gradient_checkpointing": True}),
    Feature("`bf16=True`", arguments={"bf16": True}),
    Feature(
        "`fp16=True`",
        "tried with a gradient scaler on a CPU; no GPU was there",
        arguments={"fp16": True, "max_grad_norm": 1.0},
        trainer=HalfTrainer,
    ),
    Feature(
        "`fp16=True`, trained coefficients",
        "use `bf16=True`, or a score by gradients",
        arguments={"fp16": True},
        config=eb.SearchConfig(score="coefficient", **SETTINGS),
        trainer=HalfTrainer,
    ),
    Feature(
        "`torch_compile=True`",
        "tried with the backend `eager`",
        arguments={"torch_compile": True, "torch_compile_backend": "eager"},
    ),
    Feature("LoRA (PEFT)", model=with_lora),
    Feature("checkpoints, `save_total_limit`", arguments={**SAVED, "save_total_limit": 1}),
    Feature("`load_best_model_at_end`", "the best of after the cut", arguments=BEST),
    Feature(
        "early stopping",
        arguments={**BEST, "metric_for_best_model": "loss"},
        callbacks=lambda: [EarlyStoppingCallback(early_stopping_patience=2)],
    ),
    Feature("resume from before the draw", arguments=SAVED, interrupted=4),
    Feature(
        "resume from after the cut",
        "`earlybird.load(CHECKPOINT)`, and resume by a Trainer without the callback; a training that stops at the draw"
        " has none",
        arguments=SAVED,
        interrupted=16,
    ),
    Feature("Adafactor", "or AdamW, SGD", arguments={"optim": "adafactor"}),
    Feature("several processes (DDP)", "see [several processes](several-processes.md)", processes=2),
    Feature(
        "DeepSpeed",
        "search with DDP, and train the small network with DeepSpeed",
        enabled=("is_deepspeed_enabled",),
    ),
)


def training(feature: Feature, directory: Path, stop_at: int | None = None) -> Trainer:
    generator = torch.Generator().manual_seed(0)
    examples = [
        {"input_ids": torch.randint(30, (6,), generator=generator), "labels": torch.tensor(i % 4)} for i in range(32)
    ]
    arguments: dict[str, Any] = {"save_strategy": "no", "average_tokens_across_devices": False, **feature.arguments}
    settings = TrainingArguments(
        str(directory),
        max_steps=STEPS,
        per_device_train_batch_size=8,
        learning_rate=1e-2,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        **arguments,
    )
    trainer = feature.trainer(
        feature.model(),
        settings,
        train_dataset=examples,
        eval_dataset=examples[:8],
        callbacks=[*feature.callbacks(), StopAt(stop_at)],
    )
    trainer.add_callback(Enabling(trainer, feature.enabled))
    return trainer


def cell(feature: Feature, then: AtDraw, directory: Path) -> str:
    """What comes of a training: "works", all of it looked at, or "refused", before the first step."""
    begun = None
    if feature.interrupted is not None:
        first = training(feature, directory, stop_at=feature.interrupted)
        first.add_callback(EarlyBirdCallback(first, feature.config, then=then))
        first.train()
        begun = directory / f"checkpoint-{feature.interrupted}"
        if not begun.exists():
            return "—"
    trainer = training(feature, directory)
    whole = eb.Anatomy.of(trainer.model).units
    steps = []
    callback = EarlyBirdCallback(trainer, feature.config, then=then)
    trainer.add_callback(callback)
    trainer.add_callback(Counting(steps))
    try:
        trainer.train(resume_from_checkpoint=None if begun is None else str(begun))
    except eb.InputError:
        assert not steps
        return "refused"
    units = eb.Anatomy.of(trainer.model).units
    assert callback.ticket is not None
    assert callback.ticket.provenance["draw_step"] == DRAWN_AFTER - 1
    if then == "stop":
        assert trainer.state.global_step == DRAWN_AFTER
        assert units == whole
    else:
        assert trainer.state.global_step == STEPS or "early" in feature.name
        assert steps[-1] > DRAWN_AFTER
        assert units == {kind: callback.ticket.kept(kind) for kind in whole}
    return "works"


class Counting(TrainerCallback):
    """Notes the steps taken."""

    def __init__(self, steps: list[int]) -> None:
        self.steps = steps

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.steps.append(state.global_step)


def table(cells: Mapping[tuple[str, AtDraw], str]) -> str:
    """The table, in Markdown."""
    rows = ["| the Trainer with | stops at the draw | continues | |", "| --- | --- | --- | --- |"]
    for feature in FEATURES:
        rows.append(
            f"| {feature.name} | {cells[feature.name, 'stop']} | {cells[feature.name, 'continue']} | {feature.note} |"
        )
    return "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    ddp = next(feature for feature in FEATURES if feature.processes > 1)
    ways: tuple[AtDraw, ...] = ("stop", "continue")
    cells = {then: cell(ddp, then, directory / then) for then in ways}
    (directory / f"process-{os.environ['RANK']}.json").write_text(json.dumps(cells))
    torch.distributed.barrier()
    os._exit(0)  # see `leave` of tests/processes/worker.py


if __name__ == "__main__":
    main()
