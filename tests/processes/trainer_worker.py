"""`train_early_bird`, rewound, by the Trainer's own DDP: `trainer_worker.py DIRECTORY`, started by torchrun.

Each process writes the sum of the small network's weights and its step into `process-RANK.json`.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import torch
from transformers import Trainer, TrainingArguments
from worker import end_if_stuck, leave, model_to_train

from earlybird import SearchConfig
from earlybird.integrations.hf_trainer import train_early_bird


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    end_if_stuck()
    generator = torch.Generator().manual_seed(0)
    examples = [
        {"input_ids": torch.randint(50, (6,), generator=generator), "labels": torch.tensor(i % 2)} for i in range(32)
    ]
    arguments = TrainingArguments(
        str(directory / "trainer"),
        max_steps=24,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        save_strategy="no",
    )
    trainer = Trainer(model_to_train(), arguments, train_dataset=examples)
    ticket = train_early_bird(trainer, SearchConfig(heads=0.5, neurons=0.5, detector="hamming"))
    weights = [parameter.detach().double().sum().item() for parameter in trainer.model.parameters()]
    outcome = {"step": ticket.provenance["draw_step"], "steps": trainer.state.global_step, "weights": weights}
    (directory / f"process-{os.environ['RANK']}.json").write_text(json.dumps(outcome))
    leave()


if __name__ == "__main__":
    main()
