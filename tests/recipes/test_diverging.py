"""A training whose loss is not finite any more."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification, PrinterCallback, Trainer, TrainingArguments

from earlybird.errors import JobError
from earlybird.recipes.training import FiniteLoss


class DivergingTrainer(Trainer):
    def compute_loss(self, *arguments, **named):
        loss = super().compute_loss(*arguments, **named)
        return loss * float("nan") if self.state.global_step >= self.args.max_steps - 1 else loss


def trainer_for(directory, **settings):
    config = BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=2
    )
    arguments = TrainingArguments(
        str(directory),
        max_steps=6,
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        **settings,
    )
    example = {"input_ids": torch.arange(6), "labels": torch.tensor(1)}
    trainer = DivergingTrainer(
        BertForSequenceClassification(config), arguments, train_dataset=[example] * 8, callbacks=[FiniteLoss()]
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


@pytest.mark.parametrize("logged_every", [1, 4])
def test_also_what_diverges_after_the_last_log_is_noticed(logged_every, tmp_path):
    trainer = trainer_for(tmp_path, logging_steps=logged_every, save_strategy="no")
    with pytest.raises(JobError, match="the loss is not finite at step 6"):
        trainer.train()


def test_what_has_diverged_since_the_last_log_is_not_saved(tmp_path):
    trainer = trainer_for(tmp_path, logging_steps=4, save_strategy="steps", save_steps=3, save_total_limit=1)
    with pytest.raises(JobError, match=r"the weights are not finite at step 6.*the last good checkpoint is kept"):
        trainer.train()
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-3"]
    weights = load_file(tmp_path / "checkpoint-3" / "model.safetensors")
    assert all(weight.isfinite().all() for weight in weights.values())
