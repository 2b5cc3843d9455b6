"""Lightning's tuners beside the search: they try without it, and the fit after them is as if nothing had been tried."""

from __future__ import annotations

import logging

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from lightning.pytorch.tuner import Tuner
from tiny_bert import tiny_bert
from torch.utils.data import DataLoader

import earlybird as eb
from earlybird.integrations.lightning import EarlyBirdCallback

EPOCHS = 6
CONFIG = eb.SearchConfig(heads=0.5, neurons=0.5, detector="fixed-time")
TRIED = {"steps_per_trial": 1, "init_val": 2, "max_trials": 3}


def examples():
    generator = torch.Generator().manual_seed(0)
    return [
        {"input_ids": torch.randint(30, (6,), generator=generator), "labels": torch.tensor(i % 4)} for i in range(32)
    ]


class Classifier(pl.LightningModule):
    """Says of every training step whether the model was scaled by a search."""

    def __init__(self, batch_size=4, lr=1e-2):
        super().__init__()
        self.model = tiny_bert()
        self.batch_size, self.lr = batch_size, lr
        self.scaled = []

    def training_step(self, batch, index):
        self.scaled.append(is_scaled(self.model))
        return self.model(**batch).loss

    def validation_step(self, batch, index):
        self.log("loss", self.model(**batch).loss)

    def test_step(self, batch, index):
        self.log("loss", self.model(**batch).loss)

    def predict_step(self, batch, index):
        return self.model(**batch).logits

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.lr)

    def loader(self):
        return DataLoader(examples(), batch_size=self.batch_size)

    train_dataloader = val_dataloader = test_dataloader = predict_dataloader = loader


def is_scaled(model):
    return any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def trainer_with(directory, *callbacks, **others):
    return pl.Trainer(
        default_root_dir=directory,
        callbacks=list(callbacks),
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": EPOCHS, **others},
    )


def searching(directory, then="stop", **others):
    return EarlyBirdCallback("model", CONFIG, then=then, **others)


def by_finder_before(finder):
    def tuned(directory, callback, module):
        trainer_with(directory, finder(), callback).fit(module)

    return tuned


def by_finder_after(finder):
    def tuned(directory, callback, module):
        trainer_with(directory, callback, finder()).fit(module)

    return tuned


def by_tuner(tune):
    def tuned(directory, callback, module):
        trainer = trainer_with(directory, callback)
        tune(Tuner(trainer), module)
        assert not is_scaled(module.model)
        assert callback.ticket is None
        trainer.fit(module)

    return tuned


def batches(mode):
    return lambda: BatchSizeFinder(mode=mode, margin=0, **TRIED)


def rates():
    return LearningRateFinder(num_training_steps=30)


TUNED = {
    "BatchSizeFinder, power": by_finder_before(batches("power")),
    "BatchSizeFinder, binsearch": by_finder_after(batches("binsearch")),
    "LearningRateFinder before": by_finder_before(rates),
    "LearningRateFinder after": by_finder_after(rates),
    "Tuner.scale_batch_size, power": by_tuner(lambda tuner, module: tuner.scale_batch_size(module, **TRIED)),
    "Tuner.scale_batch_size, binsearch": by_tuner(
        lambda tuner, module: tuner.scale_batch_size(module, mode="binsearch", **TRIED)
    ),
    "Tuner.lr_find": by_tuner(lambda tuner, module: tuner.lr_find(module, num_training=30)),
}


def same_ticket(one, other):
    assert one.provenance == other.provenance
    for kind, mask in one.masks.items():
        np.testing.assert_array_equal(mask, other.masks[kind])


@pytest.mark.thorough
@pytest.mark.parametrize(("then", "recorded"), [("stop", False), ("continue", True)])
@pytest.mark.parametrize("tuner", TUNED)
def test_a_fit_after_a_tuner_is_the_fit_without_one(tuner, then, recorded, tmp_path, caplog):
    def options(name):
        return {"record": tmp_path / name} if recorded else {}

    module = Classifier()
    callback = searching(tmp_path, then, **options("tuned"))
    with caplog.at_level(logging.WARNING, "earlybird"):
        TUNED[tuner](tmp_path, callback, module)
    plain, undisturbed = Classifier(module.batch_size, module.lr), searching(tmp_path, then, **options("plain"))
    trainer_with(tmp_path, undisturbed).fit(plain)

    assert (module.batch_size, module.lr) != (4, 1e-2)
    same_ticket(callback.ticket, undisturbed.ticket)
    drawn = callback.ticket.provenance["draw_step"] + 1
    trials = len(module.scaled) - len(plain.scaled)
    assert trials > 0
    assert module.scaled == [False] * trials + plain.scaled
    assert module.scaled[trials : trials + drawn] == [True] * drawn
    for name, weight in plain.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], weight, rtol=0, atol=0)
    assert not [record for record in caplog.records if record.name.startswith("earlybird")]
    if recorded:
        assert eb.Trajectory.open(tmp_path / "tuned").steps == eb.Trajectory.open(tmp_path / "plain").steps == drawn


def test_a_tuner_after_a_fit_leaves_the_ticket(tmp_path):
    module, callback = Classifier(), searching(tmp_path)
    trainer = trainer_with(tmp_path, callback)
    trainer.fit(module)
    ticket = callback.ticket
    Tuner(trainer).lr_find(module, num_training=8)
    assert callback.ticket is ticket is not None
    assert not is_scaled(module.model)


class BatchesAtTheFirstEpoch(BatchSizeFinder):
    """As Lightning's documentation suggests, where a finder is to try when an epoch begins."""

    def on_fit_start(self, *_):
        pass

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 0:
            self.scale_batch_size(trainer, pl_module)


class RatesAtTheFirstEpoch(LearningRateFinder):
    def on_fit_start(self, *_):
        pass

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 0:
            self.lr_find(trainer, pl_module)


@pytest.mark.parametrize(
    "finder",
    [
        lambda: BatchesAtTheFirstEpoch(margin=0, steps_per_trial=1, init_val=4, max_trials=1),
        lambda: RatesAtTheFirstEpoch(num_training_steps=5, update_attr=False),
    ],
)
def test_trials_while_the_search_is_on_the_model_are_no_evidence(finder, tmp_path):
    def recorded(name, *finders):
        module, callback = Classifier(), searching(tmp_path, record=tmp_path / name)
        trainer_with(tmp_path, *finders, callback).fit(module)
        return callback.ticket, module, eb.Trajectory.open(tmp_path / name)

    plain, tried = recorded("plain"), recorded("tried", finder())
    assert len(tried[1].scaled) > len(plain[1].scaled)
    same_ticket(plain[0], tried[0])
    for kind in ("heads", "neurons"):
        np.testing.assert_array_equal(plain[2].evidence(kind, "gradient"), tried[2].evidence(kind, "gradient"))
    without_record = searching(tmp_path)
    trainer_with(tmp_path, finder(), without_record).fit(Classifier())
    same_ticket(plain[0], without_record.ticket)


def test_a_tuner_beside_a_checkpoint_is_refused_where_it_puts_the_training_back(tmp_path):
    class SaveAt(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 3:
                trainer.save_checkpoint(tmp_path / "fit.ckpt")

    trainer_with(tmp_path, searching(tmp_path, record=tmp_path / "record"), SaveAt()).fit(Classifier())
    again = searching(tmp_path, record=tmp_path / "record")
    module = Classifier()
    with pytest.raises(eb.InputError, match=r"step 3, but a tuner has put the training back to step 0: tune first"):
        trainer_with(tmp_path, rates(), again).fit(module, ckpt_path=tmp_path / "fit.ckpt")
    assert not is_scaled(module.model)


def test_evaluation_and_a_trial_run_of_the_code_go_beside_the_search(tmp_path):
    module, callback = Classifier(), searching(tmp_path, record=tmp_path / "record")
    trainer_with(tmp_path, callback, fast_dev_run=2).fit(module)
    assert not is_scaled(module.model)
    trainer = trainer_with(tmp_path, callback, max_epochs=EPOCHS)
    for run in (trainer.validate, trainer.test, trainer.predict):
        run(module)
        assert not is_scaled(module.model)
    trainer.fit(module)
    ticket = callback.ticket
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    for run in (trainer.validate, trainer.test, trainer.predict):
        run(module, ckpt_path=tmp_path / "end.ckpt")
    assert callback.ticket is ticket is not None
