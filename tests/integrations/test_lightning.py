"""The search inside Lightning's Trainer."""

from __future__ import annotations

import functools

import lightning.pytorch as pl
import pytest
import torch
from tiny_bert import tiny_bert
from torch.utils.data import DataLoader

import earlybird as eb
from earlybird.integrations.lightning import EarlyBirdCallback

SETTINGS = {"heads": 0.5, "neurons": 0.5, "detector": "half-time-capture"}


class Classifier(pl.LightningModule):
    def __init__(self, optimizer=torch.optim.AdamW):
        super().__init__()
        self.model = tiny_bert()
        self.optimizer = optimizer

    def training_step(self, batch, index):
        return self.model(**batch).loss

    def configure_optimizers(self):
        return self.optimizer(self.parameters(), lr=1e-2)


class StopAt(pl.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = trainer.should_stop or trainer.global_step >= self.step


def fit(callback, *, steps=60, others=(), module=None, **arguments):
    generator = torch.Generator().manual_seed(0)
    examples = [
        {"input_ids": torch.randint(30, (6,), generator=generator), "labels": torch.tensor(i % 4)} for i in range(32)
    ]
    module = module or Classifier()
    trainer = pl.Trainer(
        max_steps=steps,
        callbacks=[callback, *others],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(examples, batch_size=8), **arguments)
    return trainer, module


def scaled(module):
    return any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


@pytest.mark.parametrize("then", ["stop", "continue"])
def test_a_ticket_drawn_in_the_last_steps_is_not_lost(then, monkeypatch):
    at_once = EarlyBirdCallback("model", **SETTINGS, threshold=0.5)
    fit(at_once)
    drawn = at_once.ticket.provenance["draw_step"]
    monkeypatch.setattr("earlybird.integrations.lightning.Search", functools.partial(eb.Search, delay=4))
    late = EarlyBirdCallback("model", **SETTINGS, threshold=0.5, then=then)
    trainer, module = fit(late, others=[StopAt(drawn + 2)])
    assert trainer.global_step == drawn + 2
    assert late.ticket.provenance["draw_step"] == drawn
    assert not scaled(module)
    assert eb.Anatomy.of(module.model).units["heads"] == ((2, 2) if then == "continue" else (4, 4))


def test_an_optimizer_that_cannot_be_sliced_is_refused_at_the_first_step():
    module = Classifier(torch.optim.Adafactor)
    with pytest.raises(eb.InputError, match=r"cannot be sliced.*AdamW or SGD"):
        fit(EarlyBirdCallback("model", **SETTINGS, then="continue"), module=module, others=[StopAt(2)])
    assert not scaled(module)


def test_a_fit_that_goes_on_from_a_checkpoint_is_refused(tmp_path):
    trainer, module = fit(EarlyBirdCallback("model", **SETTINGS), others=[StopAt(3)])
    trainer.save_checkpoint(tmp_path / "fit.ckpt")
    with pytest.raises(eb.InputError, match="the search is not kept"):
        fit(EarlyBirdCallback("model", **SETTINGS), module=module, ckpt_path=tmp_path / "fit.ckpt")
    assert not scaled(module)
