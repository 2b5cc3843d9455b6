"""The search inside Lightning's Trainer."""

from __future__ import annotations

import functools

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Checkpoint, OnExceptionCheckpoint
from tiny_bert import tiny_bert
from torch.utils.data import DataLoader

import earlybird as eb
from earlybird.integrations.lightning import EarlyBirdCallback
from earlybird.trajectory import Trajectory

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


class SaveAt(pl.Callback):
    def __init__(self, path, step):
        self.path, self.step = path, step

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


def fit(callback, *, steps=60, before=(), others=(), module=None, **arguments):
    generator = torch.Generator().manual_seed(0)
    examples = [
        {"input_ids": torch.randint(30, (6,), generator=generator), "labels": torch.tensor(i % 4)} for i in range(32)
    ]
    module = module or Classifier()
    trainer = pl.Trainer(
        max_steps=steps,
        callbacks=[*before, callback, *others],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=any(isinstance(other, Checkpoint) for other in others),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(examples, batch_size=8), **arguments)
    return trainer, module


def scaled(module):
    return any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


@pytest.mark.parametrize("then", ["stop", "continue"])
def test_a_ticket_drawn_in_the_last_steps_is_not_lost(then, monkeypatch):
    at_once = EarlyBirdCallback("model", eb.SearchConfig(threshold=0.5, **SETTINGS))
    fit(at_once)
    drawn = at_once.ticket.provenance["draw_step"]
    monkeypatch.setattr("earlybird.integrations.driver.Search", functools.partial(eb.Search, delay=4))
    late = EarlyBirdCallback("model", eb.SearchConfig(threshold=0.5, **SETTINGS), then=then)
    trainer, module = fit(late, others=[StopAt(drawn + 2)])
    assert trainer.global_step == drawn + 2
    assert late.ticket.provenance["draw_step"] == drawn
    assert not scaled(module)
    assert eb.Anatomy.of(module.model).units["heads"] == ((2, 2) if then == "continue" else (4, 4))


@pytest.mark.parametrize(
    ("optimizer", "reason"), [(torch.optim.Adafactor, "cannot be sliced"), (torch.optim.LBFGS, "in its _params, too")]
)
def test_an_optimizer_that_cannot_be_taken_along_is_refused_at_the_first_step(optimizer, reason):
    module = Classifier(optimizer)
    with pytest.raises(eb.InputError, match=rf"{reason}.*AdamW or SGD"):
        fit(EarlyBirdCallback("model", eb.SearchConfig(**SETTINGS), then="continue"), module=module, others=[StopAt(2)])
    assert not scaled(module)


@pytest.mark.parametrize("then", ["stop", "continue"])
def test_a_fit_that_goes_on_from_a_checkpoint_goes_on_with_its_search(then, tmp_path):
    checkpoint, record = tmp_path / "fit.ckpt", tmp_path / "record"
    options = {"config": eb.SearchConfig(**SETTINGS), "then": then, "record": record}
    undisturbed = EarlyBirdCallback("model", **options)
    _, whole = fit(undisturbed, others=[SaveAt(checkpoint, 20)])
    seen = Trajectory.open(record)
    steps, evidence = seen.steps, {kind: np.array(seen.evidence(kind, "deviation")) for kind in seen.kinds}

    again, module = EarlyBirdCallback("model", **options), Classifier()
    module.model.apply(lambda part: [parameter.data.zero_() for parameter in part.parameters()])
    trainer, _ = fit(again, module=module, ckpt_path=checkpoint)
    assert again.ticket.provenance["draw_step"] == undisturbed.ticket.provenance["draw_step"] > 20
    assert again.ticket.masks.keys() == undisturbed.ticket.masks.keys()
    for kind, mask in again.ticket.masks.items():
        np.testing.assert_array_equal(mask, undisturbed.ticket.masks[kind])
        np.testing.assert_array_equal(Trajectory.open(record).evidence(kind, "deviation"), evidence[kind])
    assert Trajectory.open(record).steps == steps
    assert trainer.global_step == (60 if then == "continue" else steps)
    for name, weight in whole.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], weight, rtol=0, atol=0)


def test_a_fit_goes_on_with_a_search_only_where_one_was_recorded(tmp_path):
    checkpoint, record = tmp_path / "fit.ckpt", tmp_path / "record"
    trainer, module = fit(EarlyBirdCallback("model", eb.SearchConfig(**SETTINGS)), others=[StopAt(3)])
    trainer.save_checkpoint(checkpoint)
    with pytest.raises(eb.InputError, match="give the callback the record="):
        fit(EarlyBirdCallback("model", eb.SearchConfig(**SETTINGS)), module=module, ckpt_path=checkpoint)
    with pytest.raises(eb.InputError, match="a checkpoint that holds no search"):
        fit(EarlyBirdCallback("model", eb.SearchConfig(**SETTINGS), record=record), module=module, ckpt_path=checkpoint)
    assert not scaled(module)


def test_a_fit_that_begins_anew_takes_the_place_of_the_record_before(tmp_path):
    for steps in (9, 4):
        fit(EarlyBirdCallback("model", eb.SearchConfig(**SETTINGS), record=tmp_path / "record"), others=[StopAt(steps)])
        assert Trajectory.open(tmp_path / "record").steps == steps


class FailAt(pl.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            raise ValueError("a failing batch")


def test_a_checkpoint_written_because_of_an_error_holds_the_search(tmp_path):
    record = tmp_path / "record"
    undisturbed = EarlyBirdCallback("model", eb.SearchConfig(**SETTINGS), record=tmp_path / "whole")
    fit(undisturbed)
    saving = OnExceptionCheckpoint(tmp_path, "fit")
    with pytest.raises(ValueError, match="a failing batch"):
        fit(EarlyBirdCallback("model", eb.SearchConfig(**SETTINGS), record=record), others=[FailAt(20), saving])
    again = EarlyBirdCallback("model", eb.SearchConfig(**SETTINGS), record=record)
    fit(again, ckpt_path=tmp_path / "fit.ckpt")
    assert again.ticket.provenance["draw_step"] == undisturbed.ticket.provenance["draw_step"] > 20
    assert Trajectory.open(record).steps == Trajectory.open(tmp_path / "whole").steps


def test_a_checkpoint_saved_before_the_search_saw_its_step_is_refused(tmp_path):
    callback = EarlyBirdCallback("model", eb.SearchConfig(**SETTINGS), record=tmp_path / "record")
    fit(callback, before=[SaveAt(tmp_path / "fit.ckpt", 10)], others=[StopAt(12)])
    again = EarlyBirdCallback("model", eb.SearchConfig(**SETTINGS), record=tmp_path / "record")
    with pytest.raises(eb.InputError, match="of step 10 that was saved when the search had come to step 9"):
        fit(again, ckpt_path=tmp_path / "fit.ckpt")
    assert Trajectory.open(tmp_path / "record").steps == 12
    # The next fit is one of its own.
    fit(again, others=[StopAt(3)])
    assert Trajectory.open(tmp_path / "record").steps == 3


def test_a_module_may_have_two_models_that_are_searched(tmp_path):
    class Twins(Classifier):
        def training_step(self, batch, index):
            return super().training_step(batch, index) + self.other(**batch).loss

    module = Twins()
    module.other = tiny_bert()
    callbacks = [
        EarlyBirdCallback(
            name, eb.SearchConfig(**{**SETTINGS, "threshold": 0.99999}), then="continue", record=tmp_path / name
        )
        for name in ("model", "other")
    ]
    fit(callbacks[0], module=module, others=[callbacks[1], SaveAt(tmp_path / "fit.ckpt", 5), StopAt(6)])
    saved = torch.load(tmp_path / "fit.ckpt", weights_only=True)["callbacks"]
    assert sorted(saved[callback.state_key]["global_step"] for callback in callbacks) == [5, 5]
