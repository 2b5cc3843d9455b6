"""A working Trainer script; the lines with an arrow are what earlybird adds."""

from __future__ import annotations

import tempfile

import torch
from sklearn.datasets import load_digits
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

from earlybird import SearchConfig
from earlybird.integrations.hf_trainer import train_early_bird  # <-

digits = load_digits()
examples = [
    {"pixel_values": torch.tensor(image, dtype=torch.float32)[None] / 8 - 1, "labels": int(label)}
    for image, label in zip(digits.images, digits.target, strict=True)
]
config = ViTConfig(
    image_size=8,
    patch_size=2,
    num_channels=1,
    hidden_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=96,
    num_labels=10,
)


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


with tempfile.TemporaryDirectory() as directory:
    trainer = Trainer(
        ViTForImageClassification(config),
        TrainingArguments(
            directory,
            max_steps=300,
            per_device_train_batch_size=64,
            learning_rate=2e-3,
            logging_steps=100,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=examples[:1500],
        eval_dataset=examples[1500:],
        compute_metrics=accuracy,
    )
    ticket = train_early_bird(trainer, SearchConfig(heads=0.3, neurons=0.4))  # <- instead of trainer.train()
    print(ticket)
    print(f"held-out accuracy {trainer.evaluate()['eval_accuracy']:.1%}")
