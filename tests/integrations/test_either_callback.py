"""What the callbacks of the Trainer and of Lightning have in common: options, logs, and a training without a draw."""

from __future__ import annotations

import logging

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import Logger
from tiny_bert import tiny_bert
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

import earlybird as eb
from earlybird.detectors import Detector
from earlybird.integrations import hf_trainer, lightning

NEVER = {"detector": "half-time-capture", "threshold": 0.999999}
EVERY = 10


def examples():
    generator = torch.Generator().manual_seed(0)
    return [
        {"input_ids": torch.randint(30, (6,), generator=generator), "labels": torch.tensor(i % 4)} for i in range(32)
    ]


def by_trainer(config, directory, *, steps=40, stop_at=None, **options):
    """The callback, the model after training and what was logged at which step."""

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = control.should_training_stop or state.global_step == stop_at

    arguments = TrainingArguments(
        str(directory),
        max_steps=steps,
        per_device_train_batch_size=8,
        learning_rate=1e-2,
        logging_steps=EVERY,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(tiny_bert(), arguments, train_dataset=examples(), callbacks=[Stop()])
    callback = hf_trainer.EarlyBirdCallback(trainer, config, **options)
    trainer.add_callback(callback)
    trainer.train()
    logged = {}
    for entry in trainer.state.log_history:
        logged.setdefault(entry["step"], set()).update(name for name in entry if name.startswith("earlybird"))
    return callback, trainer.model, logged


class Classifier(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = tiny_bert()

    def training_step(self, batch, index):
        return self.model(**batch).loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


class Kept(Logger):
    name = version = "kept"

    def __init__(self):
        super().__init__()
        self.logged = {}

    def log_hyperparams(self, params, *args, **kwargs):
        pass

    def log_metrics(self, metrics, step=None):
        # Lightning counts from 0, and names the epoch with every entry.
        self.logged.setdefault(step + 1, set()).update(name for name in metrics if name.startswith("earlybird"))


def by_lightning(config, directory, *, steps=40, stop_at=None, **options):
    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop = trainer.should_stop or trainer.global_step == stop_at

    callback, kept, module = lightning.EarlyBirdCallback("model", config, **options), Kept(), Classifier()
    trainer = pl.Trainer(
        max_steps=steps,
        callbacks=[callback, Stop()],
        accelerator="cpu",
        logger=kept,
        log_every_n_steps=EVERY,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(examples(), batch_size=8))
    return callback, module.model, kept.logged


def warnings(caplog):
    return [record.message for record in caplog.records if record.name.startswith("earlybird")]


either = pytest.mark.parametrize("train", [by_trainer, by_lightning])


@either
@pytest.mark.parametrize("then", ["stop", "continue"])
def test_a_training_without_a_draw_says_so(train, then, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "earlybird"):
        callback, model, _ = train(eb.SearchConfig(heads=0.5, neurons=0.5, **NEVER), tmp_path, then=then)
    assert callback.ticket is None
    assert eb.Anatomy.of(model).units["heads"] == (4, 4)
    (message,) = warnings(caplog)
    assert "the masks did not settle; nothing was pruned" in message
    assert "draw_at_end=True" in message


@either
@pytest.mark.parametrize("stop_at", [None, 7])
@pytest.mark.parametrize("then", ["stop", "continue"])
def test_a_training_may_draw_at_its_end(train, then, stop_at, tmp_path, caplog):
    config = eb.SearchConfig(heads=0.5, neurons=0.5, **NEVER)
    callback, model, _ = train(config, tmp_path, then=then, draw_at_end=True, stop_at=stop_at)
    assert callback.ticket.provenance["how"] == "end"
    assert callback.ticket.provenance["draw_step"] == (stop_at or 40) - 1
    assert eb.Anatomy.of(model).units["heads"] == ((2, 2) if then == "continue" else (4, 4))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert not warnings(caplog)


@either
def test_what_continues_by_coefficients_is_drawn_at_a_fifth_where_no_detector_is_named(train, tmp_path):
    config = eb.SearchConfig(heads=0.5, score="coefficient")
    callback, _, _ = train(config, tmp_path, then="continue")
    assert (callback.ticket.provenance["detector"], callback.ticket.provenance["draw_step"]) == ("fixed-time", 7)
    assert callback.config is config


@either
def test_what_continues_keeps_the_detector_whose_settings_are_given(train, tmp_path):
    config = eb.SearchConfig(heads=0.5, score="coefficient", start=0.3)
    callback, _, _ = train(config, tmp_path, then="continue", draw_at_end=True)
    assert callback.ticket.provenance["detector"] == "rank-correlation"


@either
def test_spans_may_be_given_in_epochs(train, tmp_path):
    # An epoch is four steps here.
    callback, _, _ = train(eb.SearchConfig(heads=0.5, detector="hamming", every="2ep", threshold=0.99), tmp_path)
    assert (callback.ticket.provenance["draw_step"] + 1) % 8 == 0


@either
def test_a_ticket_tells_the_rate_that_the_coefficients_had_from_the_weights(train, tmp_path):
    callback, _, _ = train(eb.SearchConfig(heads=0.5), tmp_path, draw_at_end=True)
    assert callback.ticket.provenance["config"]["learning_rate"] == 1e-2


@either
def test_the_record_goes_where_it_is_wanted(train, tmp_path):
    callback, _, _ = train(eb.SearchConfig(heads=0.5), tmp_path, record=tmp_path / "record", draw_at_end=True)
    assert eb.Trajectory.open(tmp_path / "record").steps == callback.ticket.provenance["draw_step"] + 1
    assert not (tmp_path / "trajectory").exists()


def keys(*names):
    return {f"earlybird_{name}_{kind}" for name in names for kind in ("heads", "neurons")}


@either
def test_the_logs_say_what_the_search_sees_at_the_steps_at_which_they_are_written(train, tmp_path):
    _, _, logged = train(eb.SearchConfig(heads=0.5, neurons=0.5, **NEVER), tmp_path / "scores")
    # At the first log there is neither a statistic nor a mask to compare with.
    assert {step for step, names in logged.items() if names} == {20, 30, 40}
    assert logged[30] == keys("overlap", "statistic") | {"earlybird_threshold"}
    config = eb.SearchConfig(heads=0.5, neurons=0.5, detector="ols", threshold=0.999999)
    _, _, logged = train(config, tmp_path / "series")
    assert logged[40] == keys("nuclear-norm", "statistic", "overlap") | {"earlybird_threshold"}


class Restless(Detector):
    """Has a statistic, which it compares with nothing."""

    def check(self, observation):
        return float(observation.mask.mean()), False


@either
def test_no_threshold_is_logged_of_a_detector_without_one(train, tmp_path):
    _, _, logged = train(eb.SearchConfig(heads=0.5, neurons=0.5, detector=Restless()), tmp_path)
    assert logged[40] == keys("overlap", "statistic")


@either
def test_a_word_that_is_no_way_to_go_on_is_refused(train, tmp_path):
    with pytest.raises(eb.InputError, match='then must be "stop" or "continue"'):
        train(eb.SearchConfig(heads=0.5), tmp_path, then="prune")
