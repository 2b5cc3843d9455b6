"""With `compensation` in the config, what a callback or a recipe prunes is refitted on batches of its training."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
from peft import LoraConfig, get_peft_model
from test_either_callback import by_trainer, either, examples
from tiny_bert import tiny_bert
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

import earlybird as eb
from earlybird.integrations.hf_trainer import train_early_bird
from earlybird.integrations.kept_batches import KeptBatches
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.stages.draw import draw
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.prune import prune_run
from earlybird.recipes.stages.search import search

CONFIG = {"heads": 0.5, "neurons": 0.5, "score": "gradient", "detector": "fixed-time"}


def states_differ(first, second):
    return max(float((value - second[name]).abs().max()) for name, value in first.items())


@either
def test_where_the_training_stops_the_newest_batches_are_there_to_refit_on(train, tmp_path):
    callback, model, _ = train(eb.SearchConfig(**CONFIG, compensation=3), tmp_path)
    assert len(callback.batches) == 3
    assert all(set(call.named) >= {"input_ids", "labels"} for call in callback.batches)
    plain, refitted = copy.deepcopy(model).eval(), copy.deepcopy(model).eval()
    eb.prune(plain, callback.ticket)
    eb.prune(refitted, callback.ticket, compensate=callback.batches)

    def error(pruned):
        return sum(
            float((call(pruned).logits - call(model.eval()).logits).square().mean()) for call in callback.batches
        )

    assert error(refitted) < error(plain)


@either
def test_without_compensation_no_batches_are_kept(train, tmp_path):
    callback, _, _ = train(eb.SearchConfig(**CONFIG, compensation=0), tmp_path)
    assert callback.batches == ()


class Watch(TrainerCallback):
    """What a training has read, and the model at every step."""

    def __init__(self, trainer):
        self.read, self.states = [], []
        trainer.model.register_forward_pre_hook(
            lambda model, inputs, named: self.read.append(named["input_ids"].clone()) if model.training else None,
            with_kwargs=True,
        )

    def on_step_begin(self, args, state, control, **kwargs):
        self.states.append({name: value.clone() for name, value in kwargs["model"].state_dict().items()})


def trained(directory, weights, **config):
    arguments = TrainingArguments(
        str(directory),
        max_steps=20,
        per_device_train_batch_size=8,
        learning_rate=1e-2,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(tiny_bert(), arguments, train_dataset=examples())
    watch = Watch(trainer)
    trainer.add_callback(watch)
    return train_early_bird(trainer, eb.SearchConfig(**CONFIG, **config), weights=weights), watch


@pytest.mark.parametrize("weights", ["continue", "rewind"])
def test_the_refit_touches_neither_the_order_of_the_batches_nor_what_comes_before_the_draw(weights, tmp_path):
    plain, before = trained(tmp_path, weights, compensation=0)
    ticket, after = trained(tmp_path, weights, compensation=4)
    assert all((plain.masks[kind] == ticket.masks[kind]).all() for kind in plain.masks)
    assert all(torch.equal(one, other) for one, other in zip(before.read, after.read, strict=True))
    step = ticket.provenance["draw_step"] + 1  # of "rewind" the first of the second training
    assert states_differ(before.states[step - 1], after.states[step - 1]) == 0
    changed = {name for name, value in before.states[step].items() if not torch.equal(value, after.states[step][name])}
    projections = (
        "attention.output.dense.weight",
        "attention.output.dense.bias",
        "output.dense.weight",
        "output.dense.bias",
    )
    assert changed == {name for name in before.states[step] if name.endswith(projections)}


@pytest.mark.parametrize("weights", ["continue", "rewind"])
def test_batches_too_few_for_a_refit_are_told_and_the_training_goes_on(weights, tmp_path, caplog):
    arguments = TrainingArguments(
        str(tmp_path), max_steps=8, per_device_train_batch_size=1, save_strategy="no", report_to=[], use_cpu=True
    )
    trainer = Trainer(tiny_bert(), arguments, train_dataset=examples())
    with caplog.at_level(logging.WARNING):
        train_early_bird(trainer, eb.SearchConfig(**CONFIG, compensation=1), weights=weights)
    assert "pruned without compensation (compensation=1): the refit of" in caplog.text
    assert trainer.state.global_step == 8


@pytest.mark.parametrize("weights", ["continue", "rewind"])
def test_where_the_draw_comes_before_so_many_batches_the_number_that_served_is_told(weights, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "earlybird"):
        ticket, _ = trained(tmp_path, weights, compensation=99)
    seen = ticket.provenance["draw_step"] + 1
    assert f"refitted on {seen} batches, not 99: no more were trained on, or could be kept" in caplog.text


def test_batches_are_copies(tmp_path):
    callback, _, _ = by_trainer(eb.SearchConfig(**CONFIG, compensation=3), tmp_path)
    first, *_, last = callback.batches
    assert not torch.equal(first.named["input_ids"], last.named["input_ids"])


def test_of_large_batches_fewer_are_kept():
    model = torch.nn.Identity()
    kept = KeptBatches(model, 4, most_bytes=4 * 1000)
    for size in (600, 300, 100, 600, 5000):
        model(torch.zeros(size))
    assert [len(call.inputs[0]) for call in kept.calls] == [5000]  # at least the newest
    for size in (300, 300, 300, 300):
        model(torch.zeros(size))
    assert [len(call.inputs[0]) for call in kept.calls] == [300, 300, 300]
    for size in (1, 2, 3, 4, 5):
        model(torch.zeros(size))
    assert [len(call.inputs[0]) for call in kept.calls] == [2, 3, 4, 5]


@pytest.mark.parametrize("release", ["0.20", "0.21"])
def test_a_model_with_adapters_is_refitted(release, tmp_path, caplog):
    model = tiny_bert()
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["query"], task_type="SEQ_CLS"))
    if release == "0.20":  # PEFT ran the forward pass of the model inside without calling it
        adapted.base_model.forward = model.forward
    arguments = TrainingArguments(str(tmp_path), max_steps=10, save_strategy="no", report_to=[], use_cpu=True)
    trainer = Trainer(adapted, arguments, train_dataset=examples())
    train_early_bird(trainer, eb.SearchConfig(**CONFIG, compensation=2), weights="continue")
    assert "without compensation" not in caplog.text


def test_a_model_that_the_training_does_not_call_is_pruned_without_a_refit_and_that_is_told(tmp_path, caplog):
    class Indirect(Trainer):
        def compute_loss(self, model, inputs, *_, **__):
            states = model.bert(input_ids=inputs["input_ids"])
            return torch.nn.functional.cross_entropy(model.classifier(states.pooler_output), inputs["labels"])

    arguments = TrainingArguments(str(tmp_path), max_steps=10, save_strategy="no", report_to=[], use_cpu=True)
    trainer = Indirect(tiny_bert(), arguments, train_dataset=examples())
    train_early_bird(trainer, eb.SearchConfig(**CONFIG, compensation=2), weights="continue")
    assert "pruned without compensation (compensation=2): compensate holds no batches" in caplog.text
    assert trainer.state.global_step == 10


def test_a_recipe_refits_on_its_training_examples_by_its_seed(tmp_path):
    def pruned(count):
        overrides = [
            "training.epochs=0.2",
            "training.warmup_epochs=0",
            "model.layers=1",
            "search.score=gradient",
            "search.detector=fixed-time",
        ]
        recipe = read_recipe("digits", [*overrides, f"search.compensation={count}", f"output={tmp_path / str(count)}"])
        job = Job.begin(recipe)
        search(job)
        draw(job)
        prune_run(job, "rewind", "ticket")
        return job, eb.load(job.files.pruned("rewind", "ticket")).state_dict()

    (job, refitted), (_, plain) = pruned(3), pruned(0)
    ticket = eb.Ticket.load(job.files.ticket("ticket"))
    order = torch.randperm(len(job.task.train), generator=torch.Generator().manual_seed(job.recipe.seed))
    size = job.recipe.training.batch_size
    loader = DataLoader(job.task.train, size, sampler=order[: 3 * size].tolist(), collate_fn=job.task.collate)
    batches = [lambda model, batch=batch: job.task.predict(model, batch) for batch in loader]
    expected = eb.prune(job.initial_model(), ticket, compensate=batches).state_dict()
    assert states_differ(expected, refitted) < 1e-6
    assert states_differ(plain, refitted) > 1e-3


@pytest.mark.parametrize("count", [-1, 1.5, True, "16", None])
def test_compensation_is_a_number_of_batches(count):
    with pytest.raises(eb.InputError, match="compensation must be a whole number of batches of at least 0"):
        eb.SearchConfig(heads=0.5, compensation=count)
