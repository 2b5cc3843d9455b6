"""A training whose loss is not finite any more."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, PrinterCallback, Trainer, TrainingArguments

from earlybird.errors import JobError
from earlybird.recipes.training import FiniteLoss


class DivergingTrainer(Trainer):
    def compute_loss(self, *arguments, **named):
        loss = super().compute_loss(*arguments, **named)
        return loss * float("nan") if self.state.global_step >= self.args.max_steps - 1 else loss


@pytest.mark.parametrize("logged_every", [1, 4])
def test_also_what_diverges_after_the_last_log_is_noticed(logged_every, tmp_path):
    config = BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=2
    )
    arguments = TrainingArguments(
        str(tmp_path),
        max_steps=6,
        logging_steps=logged_every,
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        save_strategy="no",
    )
    example = {"input_ids": torch.arange(6), "labels": torch.tensor(1)}
    trainer = DivergingTrainer(
        BertForSequenceClassification(config), arguments, train_dataset=[example] * 8, callbacks=[FiniteLoss()]
    )
    trainer.remove_callback(PrinterCallback)
    with pytest.raises(JobError, match="not finite at step 6"):
        trainer.train()
