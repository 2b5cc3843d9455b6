"""float16 with a gradient scaler in both callbacks: the search is that of the unscaled loss, without skipped steps.

Everything runs on a CPU: the scaler is put where a GPU would have it, and autocast to float16 as well.
"""

from __future__ import annotations

import dataclasses
import logging

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision, Precision
from tiny_bert import tiny_bert
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

import earlybird as eb
from earlybird.integrations import lightning
from earlybird.integrations.hf_trainer import EarlyBirdCallback, train_early_bird
from earlybird.integrations.search_callback import SearchCallback

STEPS = 20
DRAWN_AFTER = 4  # steps, by a fixed share of them
CONFIG = eb.SearchConfig(heads=0.5, neurons=0.5, score="squared-gradient", detector="fixed-time")
LATE = eb.SearchConfig(heads=0.5, neurons=0.5, score="squared-gradient", detector="fixed-time", threshold=0.9)


def examples():
    """All go into every step, so that a skipped one leaves the next what it would have had."""
    generator = torch.Generator().manual_seed(0)
    return [
        {"input_ids": torch.randint(30, (6,), generator=generator), "labels": torch.tensor(i % 4)} for i in range(8)
    ]


def batches(size=8):
    return DataLoader(examples(), batch_size=size)


def scaler():
    """Its scale grows every third step."""
    return torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)


class ScaledTrainer(Trainer):
    """Has a gradient scaler on a CPU, and with fp16=True autocast; its loss overflows at some steps."""

    def __init__(self, *arguments, scaled=True, overflow=(), **named):
        self.scaled, self.overflow = scaled, overflow
        super().__init__(*arguments, **named)

    def create_accelerator_and_postprocess(self):
        super().create_accelerator_and_postprocess()
        if self.scaled:
            self.accelerator.scaler = scaler()
            self.accelerator.native_amp = self.args.fp16

    def get_train_dataloader(self):
        return batches(self.args.per_device_train_batch_size)

    def compute_loss(self, *arguments, **named):
        loss = super().compute_loss(*arguments, **named)
        return loss * torch.inf if self.state.global_step in self.overflow else loss


class StopAt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = control.should_training_stop or state.global_step == self.step


def trainer_for(directory, *, half=False, stop_at=None, save_every=None, scaled=True, overflow=(), **others):
    arguments = TrainingArguments(
        str(directory),
        max_steps=STEPS,
        learning_rate=1e-2,
        lr_scheduler_type="constant",
        save_strategy="no" if save_every is None else "steps",
        save_steps=save_every or STEPS,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        fp16=half,
        # Without fp16=True gradients would be clipped before they are unscaled.
        **{"max_grad_norm": 1.0 if half else 0.0, **others},
    )
    return ScaledTrainer(
        tiny_bert(), arguments, train_dataset=examples(), callbacks=[StopAt(stop_at)], scaled=scaled, overflow=overflow
    )


def by_trainer(config, directory, *, resume_at=None, then="stop", **how):
    trainer = trainer_for(directory, **how)
    callback = EarlyBirdCallback(trainer, config, then=then)
    trainer.add_callback(callback)
    trainer.train(resume_from_checkpoint=None if resume_at is None else str(directory / f"checkpoint-{resume_at}"))
    return callback, trainer.model, evidence(directory / "trajectory")


class Classifier(pl.LightningModule):
    def __init__(self, overflow=(), optimizer=torch.optim.AdamW):
        super().__init__()
        self.model, self.overflow, self.optimizer = tiny_bert(), overflow, optimizer

    def training_step(self, batch, index):
        loss = self.model(**batch).loss
        return loss * torch.inf if self.global_step in self.overflow else loss

    def configure_optimizers(self):
        return self.optimizer(self.parameters(), lr=1e-2)


class StopAndSave(pl.Callback):
    def __init__(self, directory, stop_at, save_every):
        self.directory, self.stop_at, self.save_every = directory, stop_at, save_every

    def on_train_batch_end(self, trainer, *_):
        step = trainer.global_step
        trainer.should_stop = trainer.should_stop or step == self.stop_at
        if self.save_every and step % self.save_every == 0:
            trainer.save_checkpoint(self.directory / f"{step}.ckpt")


class InFloat32(MixedPrecision):
    """Scales the loss without autocast."""

    def autocast_context_manager(self):
        return torch.autocast("cpu", enabled=False)


def by_lightning(
    config,
    directory,
    *,
    resume_at=None,
    then="stop",
    half=False,
    scaled=True,
    overflow=(),
    stop_at=None,
    save_every=None,
    optimizer=torch.optim.AdamW,
):
    module = Classifier(overflow, optimizer)
    callback = lightning.EarlyBirdCallback("model", config, then=then, record=directory / "trajectory")
    precision = MixedPrecision if half else InFloat32
    trainer = pl.Trainer(
        max_steps=STEPS,
        callbacks=[callback, StopAndSave(directory, stop_at, save_every)],
        plugins=[precision("16-mixed", device="cpu", scaler=scaler())] if scaled else [],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, batches(), ckpt_path=None if resume_at is None else directory / f"{resume_at}.ckpt")
    return callback, module.model, evidence(directory / "trajectory")


either = pytest.mark.parametrize("train", [by_trainer, by_lightning])


def evidence(path):
    trajectory = eb.Trajectory.open(path)
    return {kind: np.array(trajectory.evidence(kind, "gradient")) for kind in trajectory.kinds}


def assert_same_evidence(found, expected):
    assert found.keys() == expected.keys()
    for kind, values in expected.items():
        assert found[kind].shape == values.shape
        assert np.allclose(found[kind], values, rtol=1e-3, atol=1e-5 * values.max())


def assert_same_ticket(found, expected):
    assert found.provenance["draw_step"] == expected.provenance["draw_step"]
    for kind, mask in expected.masks.items():
        assert (found.masks[kind] == mask).all()


def assert_same_network(found, expected):
    """By what it gives: a bias of keys, which changes nothing, trains by rounding alone."""
    (batch,) = batches()
    with torch.no_grad():
        logits = [model.eval()(**batch).logits for model in (found, expected)]
    torch.testing.assert_close(*logits, rtol=1e-3, atol=1e-3)


@either
@pytest.mark.parametrize("then", ["stop", "continue"])
def test_the_ticket_is_that_of_the_unscaled_loss(train, then, tmp_path):
    expected, plain, seen = train(CONFIG, tmp_path / "plain", then=then, scaled=False)
    callback, model, found = train(CONFIG, tmp_path / "scaled", then=then)
    assert callback.ticket.provenance["draw_step"] == DRAWN_AFTER - 1
    assert_same_ticket(callback.ticket, expected.ticket)
    assert_same_evidence(found, seen)
    assert_same_network(model, plain)


@either
@pytest.mark.parametrize("then", ["stop", "continue"])
def test_skipped_steps_are_no_evidence_and_do_not_count(train, then, tmp_path):
    skipped = (0, DRAWN_AFTER, DRAWN_AFTER + 2)  # the first, and those around that of the draw
    expected, plain, seen = train(CONFIG, tmp_path / "plain", then=then, scaled=False, stop_at=STEPS - len(skipped))
    callback, model, found = train(CONFIG, tmp_path / "scaled", then=then, overflow=skipped)
    assert_same_ticket(callback.ticket, expected.ticket)
    assert_same_evidence(found, seen)
    assert_same_network(model, plain)


@either
def test_a_resumed_training_goes_on_with_the_scale_that_it_had(train, tmp_path):
    how = {"overflow": (2,), "save_every": 10}
    expected, _, seen = train(LATE, tmp_path / "whole", **how)
    train(LATE, tmp_path / "cut", stop_at=15, **how)
    callback, _, found = train(LATE, tmp_path / "cut", resume_at=10, **how)
    assert expected.ticket.provenance["draw_step"] > 10
    assert_same_ticket(callback.ticket, expected.ticket)
    for kind, values in seen.items():
        assert (found[kind] == values).all()


@either
@pytest.mark.parametrize("then", ["stop", "continue"])
def test_in_float16_it_is_searched_cut_and_refitted(train, then, tmp_path, caplog):
    config = dataclasses.replace(CONFIG, compensation=2)
    _, _, seen = train(config, tmp_path / "plain", then=then, scaled=False)
    with caplog.at_level(logging.WARNING, "earlybird"):
        callback, model, found = train(config, tmp_path / "half", then=then, half=True)
    assert callback.ticket.provenance["draw_step"] == DRAWN_AFTER - 1
    for kind, values in seen.items():
        assert not (found[kind] == values).all()  # it is another arithmetic
        assert np.allclose(found[kind], values, rtol=0.1, atol=0.05 * values.max())
    assert not [record for record in caplog.records if record.name.startswith("earlybird")]
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in model.parameters())
    assert eb.Anatomy.of(model).units["heads"] == ((2, 2) if then == "continue" else (4, 4))


def test_every_training_of_a_trainer_begins_with_the_scale_that_the_last_one_left(tmp_path):
    found = []
    for scaled in (False, True):
        trainer = trainer_for(tmp_path / str(scaled), scaled=scaled)
        callback = EarlyBirdCallback(trainer, CONFIG)
        trainer.add_callback(callback)
        for _ in range(2):
            trainer.train()
        found.append((callback.ticket, evidence(tmp_path / str(scaled) / "trajectory")))
    assert trainer.accelerator.scaler.get_scale() > 2.0**11
    assert_same_ticket(found[1][0], found[0][0])
    assert_same_evidence(found[1][1], found[0][1])


def test_accumulated_gradients_are_divided_once(tmp_path):
    how = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    expected, _, seen = by_trainer(CONFIG, tmp_path / "plain", scaled=False, **how)
    callback, _, found = by_trainer(CONFIG, tmp_path / "scaled", **how)
    assert_same_ticket(callback.ticket, expected.ticket)
    assert_same_evidence(found, seen)


@pytest.mark.parametrize("weights", ["rewind", "continue"])
def test_the_whole_way_in_float16(weights, tmp_path):
    trainer = trainer_for(tmp_path, half=True, overflow=(1,))
    ticket = train_early_bird(trainer, CONFIG, weights=weights)
    assert trainer.state.global_step == STEPS
    assert eb.Anatomy.of(trainer.model).units["neurons"] == tuple(ticket.masks["neurons"].sum(-1).tolist())
    assert all(value.isfinite().all() for value in trainer.model.parameters())


def test_a_training_whose_every_step_is_skipped_draws_nothing_at_its_end(tmp_path, caplog):
    trainer = trainer_for(tmp_path, overflow=range(STEPS))
    callback = EarlyBirdCallback(trainer, CONFIG, draw_at_end=True)
    trainer.add_callback(callback)
    trainer.train()
    assert callback.ticket is None
    assert "the masks did not settle" in caplog.text


# Bad input


@either
def test_trained_coefficients_are_refused_before_the_first_step(train, tmp_path):
    config = eb.SearchConfig(heads=0.5, score="coefficient")
    with pytest.raises(eb.InputError, match=r'with a scaler give score="squared-gradient".*bfloat16'):
        train(config, tmp_path)
    assert not (tmp_path / "trajectory").exists()


class UntriedAdafactor(torch.optim.Adafactor):
    """Cannot be tried beforehand, because nothing says what `own` was."""

    def __init__(self, parameters, lr, own):
        super().__init__(parameters, lr)


def test_an_optimizer_that_cannot_be_taken_along_is_refused_at_the_first_step_taken(tmp_path):
    def optimizer(parameters, lr):
        return UntriedAdafactor(parameters, lr, own=None)

    with pytest.raises(eb.InputError, match=r"cannot be sliced.*AdamW or SGD"):
        by_lightning(CONFIG, tmp_path, then="continue", overflow=(0, 1), optimizer=optimizer)
    assert eb.Trajectory.open(tmp_path / "trajectory").steps == 1


@either
def test_an_optimizer_that_is_known_not_to_be_taken_along_is_refused_before_the_first_step(train, tmp_path):
    how = {"optim": "adafactor"} if train is by_trainer else {"optimizer": torch.optim.Adafactor}
    with pytest.raises(eb.InputError, match=r"cannot be sliced.*AdamW or SGD"):
        train(CONFIG, tmp_path, then="continue", **how)
    assert not (tmp_path / "trajectory").exists()


def test_a_trainer_whose_engine_scales_by_itself_is_refused(tmp_path):
    trainer = trainer_for(tmp_path, half=True, scaled=False)
    trainer.is_deepspeed_enabled = True
    trainer.add_callback(EarlyBirdCallback(trainer, CONFIG))
    with pytest.raises(eb.InputError, match="DeepSpeed keeps gradients"):
        trainer.callback_handler.on_train_begin(trainer.args, trainer.state, trainer.control)


def test_a_search_of_ones_own_that_took_another_scale_than_the_resumed_one_is_refused(tmp_path):
    by_trainer(LATE, tmp_path, save_every=4, stop_at=5)
    trainer = trainer_for(tmp_path)
    search = eb.Search(trainer.model, LATE, total_steps=STEPS, scaler=trainer.accelerator.scaler)
    trainer.add_callback(SearchCallback(search, learning_rate=1e-2))
    with pytest.raises(eb.InputError, match="would mistake the scale: use EarlyBirdCallback"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))


def test_a_lightning_plugin_that_scales_by_itself_is_refused(tmp_path):
    class Engine(Precision):
        precision = "16-mixed"

    callback = lightning.EarlyBirdCallback("model", CONFIG)
    trainer = pl.Trainer(max_steps=STEPS, callbacks=[callback], plugins=[Engine()], accelerator="cpu", logger=False)
    with pytest.raises(eb.InputError, match=r'Engine has no gradient scaler.*use precision="bf16-mixed"'):
        trainer.fit(Classifier(), batches())
