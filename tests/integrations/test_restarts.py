"""A training that begins again, by itself or by its user: what a callback has pruned it does not prune once more."""

from __future__ import annotations

import logging

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from tiny_bert import tiny_bert
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

import earlybird as eb
from earlybird.integrations import lightning
from earlybird.integrations.hf_trainer import EarlyBirdCallback, train_early_bird
from earlybird.integrations.search_callback import SearchCallback

STEPS = 20
DRAWN_AFTER = 4  # steps, by a fixed share of them
CONFIG = eb.SearchConfig(heads=0.5, neurons=0.5, neurons_scope="layer", detector="fixed-time")
KEPT = {"heads": (2, 2), "neurons": (16, 16)}
WHOLE = {"heads": (4, 4), "neurons": (32, 32)}


def examples():
    generator = torch.Generator().manual_seed(0)
    return [
        {"input_ids": torch.randint(30, (6,), generator=generator), "labels": torch.tensor(i % 4)} for i in range(32)
    ]


class OutOfMemoryOnce(Trainer):
    """Cannot hold its batch, once, at a step of one of its trainings."""

    fails_after: int | None = None
    fails_in_training = 1
    trainings = 0
    raised = False

    def train(self, *arguments, **named):
        self.trainings += 1
        return super().train(*arguments, **named)

    def compute_loss(self, *arguments, **named):
        due = self.trainings == self.fails_in_training and self.state.global_step == self.fails_after
        if due and not self.raised:
            self.raised = True
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return super().compute_loss(*arguments, **named)


def trainer_for(directory, *, model=None, fails_after=None, fails_in_training=1, callbacks=(), build=None, **others):
    arguments = TrainingArguments(
        str(directory),
        max_steps=STEPS,
        per_device_train_batch_size=8,
        learning_rate=1e-2,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        **{"save_strategy": "no", "auto_find_batch_size": fails_after is not None, **others},
    )
    model = model or (tiny_bert() if build is None else None)
    trainer = OutOfMemoryOnce(model, arguments, train_dataset=examples(), callbacks=list(callbacks), model_init=build)
    trainer.fails_after, trainer.fails_in_training = fails_after, fails_in_training
    return trainer


def continuing(trainer, **options):
    callback = EarlyBirdCallback(trainer, CONFIG, then="continue", **options)
    trainer.add_callback(callback)
    return callback


def units(model):
    return eb.Anatomy.of(model).units


def kept_by(ticket):
    return {kind: tuple(int(count) for count in mask.sum(-1)) for kind, mask in ticket.masks.items()}


def holds_its_model(trainer):
    held = {id(value) for group in trainer.optimizer.param_groups for value in group["params"]}
    return held == {id(value) for value in trainer.model.parameters()}


def trains(trainer, before):
    return [name for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])]


class Weights(TrainerCallback):
    """What every training began with, and how it was shaped."""

    def __init__(self):
        self.seen = []

    def on_train_begin(self, args, state, control, **kwargs):
        self.seen.append({name: value.detach().clone() for name, value in kwargs["model"].named_parameters()})


def test_memory_that_runs_out_after_the_draw_leaves_the_ticket_drawn(tmp_path):
    trainer = trainer_for(tmp_path, fails_after=DRAWN_AFTER + 3)
    callback, begun = continuing(trainer), Weights()
    tickets = []

    class Tickets(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            tickets.append(callback.ticket)

    trainer.add_callback(begun)
    trainer.add_callback(Tickets())
    trainer.train()
    assert trainer.raised
    assert trainer.state.global_step == STEPS
    assert units(trainer.model) == kept_by(callback.ticket) == KEPT
    assert {id(ticket) for ticket in tickets[DRAWN_AFTER:]} == {id(callback.ticket)}
    assert callback.ticket.provenance["draw_step"] == DRAWN_AFTER - 1
    assert eb.Trajectory.open(tmp_path / "trajectory").steps == DRAWN_AFTER
    # The restart begins with the small network, and all of it trains.
    assert len(begun.seen) == 2
    assert holds_its_model(trainer)
    assert len(trains(trainer, begun.seen[1])) == len(begun.seen[1])


def test_the_whole_way_continued_survives_memory_that_runs_out_after_the_draw(tmp_path):
    trainer = trainer_for(tmp_path, fails_after=DRAWN_AFTER + 3)
    ticket = train_early_bird(trainer, CONFIG, weights="continue")
    assert trainer.raised
    assert trainer.state.global_step == STEPS
    assert units(trainer.model) == kept_by(ticket) == KEPT


@pytest.mark.parametrize("then", ["stop", "continue"])
def test_memory_that_runs_out_before_the_draw_begins_the_search_anew(then, tmp_path):
    trainer = trainer_for(tmp_path, fails_after=DRAWN_AFTER - 2)
    callback = EarlyBirdCallback(trainer, CONFIG, then=then)
    trainer.add_callback(callback)
    trainer.train()
    assert trainer.raised
    assert callback.ticket.provenance["draw_step"] == DRAWN_AFTER - 1
    assert eb.Trajectory.open(tmp_path / "trajectory").steps == DRAWN_AFTER
    assert units(trainer.model) == (KEPT if then == "continue" else WHOLE)


@pytest.mark.thorough
@pytest.mark.parametrize(("training", "step"), [(1, DRAWN_AFTER - 2), (2, 0), (2, DRAWN_AFTER + 3)])
def test_memory_that_runs_out_anywhere_on_the_rewound_way_prunes_once(training, step, tmp_path):
    trainer = trainer_for(tmp_path, fails_after=step, fails_in_training=training)
    ticket = train_early_bird(trainer, CONFIG, weights="rewind")
    assert trainer.raised
    assert trainer.state.global_step == STEPS
    assert units(trainer.model) == kept_by(ticket) == KEPT
    assert holds_its_model(trainer)


def test_a_ticket_of_the_end_is_not_drawn_twice(tmp_path):
    trainer = trainer_for(tmp_path)
    callback = EarlyBirdCallback(
        trainer,
        eb.SearchConfig(
            heads=0.5, neurons=0.5, neurons_scope="layer", detector="half-time-capture", threshold=0.999999
        ),
        then="continue",
        draw_at_end=True,
    )
    trainer.add_callback(callback)
    trainer.train()
    ticket = callback.ticket
    assert ticket.provenance["how"] == "end"
    trainer.train()
    assert callback.ticket is ticket
    assert units(trainer.model) == KEPT


def by_trainer_twice(directory):
    trainer = trainer_for(directory)
    callback, begun = continuing(trainer), Weights()
    trainer.add_callback(begun)
    trainer.train()
    first = callback.ticket
    trainer.train()
    changed = trains(trainer, begun.seen[1])
    assert len(changed) == len(begun.seen[1])
    return callback, first, trainer.model


class Classifier(pl.LightningModule):
    def __init__(self, model=None):
        super().__init__()
        self.model = model or tiny_bert()

    def training_step(self, batch, index):
        return self.model(**batch).loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


def fit(module, callback, **arguments):
    trainer = pl.Trainer(
        max_steps=STEPS,
        callbacks=[callback],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(examples(), batch_size=8), **arguments)
    return trainer


def by_lightning_twice(directory):
    callback, module = lightning.EarlyBirdCallback("model", CONFIG, then="continue"), Classifier()
    fit(module, callback)
    first = callback.ticket
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    trainer = fit(module, callback)
    assert trainer.global_step == STEPS
    assert all(not torch.equal(value, before[name]) for name, value in module.named_parameters())
    return callback, first, module.model


@pytest.mark.parametrize("twice", [by_trainer_twice, by_lightning_twice])
def test_a_callback_that_has_pruned_a_model_trains_it_on_and_says_so(twice, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "earlybird"):
        callback, first, model = twice(tmp_path)
    assert first is not None
    assert callback.ticket is first
    assert units(model) == kept_by(first) == KEPT
    assert callback.search is None
    messages = [record.getMessage() for record in caplog.records]
    (message,) = [message for message in messages if "is pruned by the callback's ticket already" in message]
    assert "a new callback" in message


def pruned_by_hand_after_trainer(directory):
    trainer = trainer_for(directory)
    callback = EarlyBirdCallback(trainer, CONFIG)
    trainer.add_callback(callback)
    trainer.train()
    eb.prune(trainer.model, callback.ticket)
    trainer.optimizer = trainer.lr_scheduler = None
    first = callback.ticket
    trainer.train()
    assert trainer.state.global_step == STEPS
    return callback, first, trainer.model


def pruned_by_hand_after_lightning(directory):
    callback, module = lightning.EarlyBirdCallback("model", CONFIG), Classifier()
    fit(module, callback)
    eb.prune(module.model, callback.ticket)
    first = callback.ticket
    assert fit(module, callback).global_step == STEPS
    return callback, first, module.model


@pytest.mark.parametrize("twice", [pruned_by_hand_after_trainer, pruned_by_hand_after_lightning])
def test_what_its_user_has_pruned_by_the_ticket_a_callback_trains_on(twice, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "earlybird"):
        callback, first, model = twice(tmp_path)
    assert callback.ticket is first
    assert units(model) == kept_by(first) == KEPT
    assert any("is pruned by the callback's ticket already" in record.getMessage() for record in caplog.records)


def test_a_callback_around_a_search_takes_no_second_training(tmp_path):
    trainer = trainer_for(tmp_path, fails_after=3)
    search = eb.Search(trainer.model, CONFIG, total_steps=STEPS)
    trainer.add_callback(SearchCallback(search, learning_rate=1e-2, penalise=True, stop_at_draw=False))
    with pytest.raises(eb.InputError, match="has seen 3 steps, and a training begins at step 0: make a new search"):
        trainer.train()


def test_a_new_callback_prunes_a_pruned_model_once_more(tmp_path):
    first = trainer_for(tmp_path / "first")
    continuing(first)
    first.train()
    second = trainer_for(tmp_path / "second", model=first.model)
    callback = continuing(second)
    second.train()
    assert units(second.model) == kept_by(callback.ticket) == {"heads": (1, 1), "neurons": (8, 8)}
    module, again = Classifier(second.model), lightning.EarlyBirdCallback("model", eb.SearchConfig(neurons=0.5))
    fit(module, again)
    assert again.ticket is None or again.ticket.masks["neurons"].shape == (2, 8)


@pytest.mark.parametrize("weights", ["rewind", "continue"])
def test_the_whole_way_gone_twice_prunes_the_pruned_model(weights, tmp_path):
    trainer = trainer_for(tmp_path)
    first = train_early_bird(trainer, CONFIG, weights=weights)
    assert units(trainer.model) == kept_by(first) == KEPT
    second = train_early_bird(trainer, CONFIG, weights=weights)
    assert units(trainer.model) == kept_by(second) == {"heads": (1, 1), "neurons": (8, 8)}
    assert holds_its_model(trainer)


def test_each_training_of_a_model_that_is_built_for_it_has_its_own_search(tmp_path):
    trainer = trainer_for(tmp_path, build=lambda: tiny_bert())
    callback = continuing(trainer)
    tickets = []
    for _ in range(2):
        trainer.train()
        assert units(trainer.model) == kept_by(callback.ticket) == KEPT
        tickets.append(callback.ticket)
    assert tickets[0] is not tickets[1]
    for kind, mask in tickets[0].masks.items():
        np.testing.assert_array_equal(tickets[1].masks[kind], mask)


def test_rewinding_is_refused_where_each_training_builds_its_model(tmp_path):
    trainer = trainer_for(tmp_path, build=lambda: tiny_bert())
    with pytest.raises(eb.InputError, match=r"model_init.*Trainer\(model="):
        train_early_bird(trainer, CONFIG, weights="rewind")
    assert trainer.state.global_step == 0
    ticket = train_early_bird(trainer, CONFIG, weights="continue")
    assert units(trainer.model) == kept_by(ticket) == KEPT


def test_what_was_saved_after_the_draw_is_resumed_by_the_callback_that_drew(tmp_path):
    trainer = trainer_for(tmp_path, save_strategy="steps", save_steps=10)
    callback = continuing(trainer)
    trainer.train()
    whole, ticket = {name: value.clone() for name, value in trainer.model.state_dict().items()}, callback.ticket
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-10"))
    assert callback.ticket is ticket
    assert trainer.state.global_step == STEPS
    for name, value in trainer.model.state_dict().items():
        torch.testing.assert_close(value, whole[name], rtol=0, atol=0)


def test_memory_that_runs_out_after_the_draw_of_a_resumed_training_is_refused(tmp_path):
    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step >= 3

    cut = trainer_for(tmp_path, save_strategy="steps", save_steps=2, callbacks=[Stop()], auto_find_batch_size=True)
    continuing(cut)
    cut.train()
    trainer = trainer_for(tmp_path, fails_after=DRAWN_AFTER + 3, save_strategy="steps", save_steps=2)
    callback = continuing(trainer)
    with pytest.raises(eb.InputError, match=r"checkpoint-2.*before the draw.*pruned"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert units(trainer.model) == kept_by(callback.ticket) == KEPT


def test_between_search_and_small_network_the_log_says_what_was_drawn(tmp_path, caplog):
    trainer = trainer_for(tmp_path)
    with caplog.at_level(logging.INFO, "earlybird"):
        train_early_bird(trainer, CONFIG, weights="rewind")
    message, refit = [record.getMessage() for record in caplog.records if record.name.startswith("earlybird")]
    assert f"drawn at step {DRAWN_AFTER - 1}, keeping 4 of 8 heads, 32 of 64 neurons" in message
    assert "initial weights" in message
    assert refit.startswith(f"refitted on {DRAWN_AFTER} batches, not 16")


def test_a_trainer_that_kept_the_optimizer_of_the_whole_model_says_so(tmp_path):
    trainer = trainer_for(tmp_path)
    callback = EarlyBirdCallback(trainer, CONFIG)
    trainer.add_callback(callback)
    trainer.train()
    eb.prune(trainer.model, callback.ticket)
    with pytest.raises(
        eb.InputError, match=r"the optimizer holds 20 parameters that pruning has removed.*trainer.opti"
    ):
        trainer.train()
    eb.Search(trainer.model, CONFIG, total_steps=STEPS).detach()  # there are no coefficients on it
    trainer.remove_callback(callback)
    with pytest.warns(UserWarning, match="steps with 20 parameters that pruning has removed"):
        trainer.train()
    trainer.optimizer = None
    begun = Weights()
    trainer.add_callback(begun)
    trainer.train()
    assert len(trains(trainer, begun.seen[0])) == len(begun.seen[0])
