"""One config, given to every way of searching on the same training, ends in the same ticket.

The training is that of a recipe's search: its model, its examples in its order, its optimizer. The loop, the Trainer
and Lightning train the same.
"""

from __future__ import annotations

import json
from dataclasses import fields
from functools import partial

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import yaml
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

import earlybird as eb
from earlybird.cli import main
from earlybird.config import plain_values
from earlybird.detectors.defaults import with_defaults
from earlybird.integrations import hf_trainer, lightning
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.stages.draw import draw
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.search import search
from earlybird.recipes.training import optimizer_for, planned_steps

# Every setting that the model can have, none at its default in both.
RATIOS = eb.SearchConfig(
    heads=0.45,
    neurons=0.5,
    heads_scope="layer",
    neurons_scope="layer",
    uniform=True,
    round_to=2,
    exclude=("*layer*.0.*",),
    compensation=2,
    score="coefficient",
    detector="mann-kendall",
    smoothing="3",
    window="8",
    every="4",
    start="0.34ep",
    lag="5",
    criterion="overlap",
    threshold=0.1,
    joint="simultaneous",
    slim="before",
    neuron_slim="before",
    l1_heads=1e-3,
    l1_neurons=3e-3,
    learning_rate=2e-2,
)
BUDGET = eb.SearchConfig(
    flops=0.6,
    tokens=64,
    round_to=2,
    whole_blocks=True,
    exclude=("*layer*.0.*",),
    compensation=2,
    detector="recent-half-capture",
    score="squared-gradient",
    start="20",
    threshold=0.2,
    learning_rate=2e-2,
)
CONFIGS = {"ratios": RATIOS, "budget": BUDGET}
SLIMMING = {each.name for each in fields(eb.SlimmingConfig)}
# One epoch of the digits, so that the order is said once; a constant rate, so that no schedule has to be said again.
TRAINING = {
    "epochs": 1,
    "batch_size": 23,
    "optimizer": "sgd",
    "learning_rate": 0.05,
    "schedule": "constant",
    "warmup_epochs": 0,
    "weight_decay": 0.0,
}
MODEL = {"layers": 3, "heads": 4, "hidden": 32, "neurons": 24}


def written(values, prefix):
    """Settings as overrides of a recipe."""
    return [f"{prefix}.{name}={json.dumps(value)}" for name, value in values.items()]


def job_in(directory, *overrides):
    common = [*written(TRAINING, "training"), *written(MODEL, "model"), f"output={directory / 'run'}"]
    return Job.begin(read_recipe("digits", [*common, *overrides]))


def settings(config):
    """The plain values of a config, those of the search and those of the slimming."""
    values = plain_values(config)
    return (
        {name: value for name, value in values.items() if name not in SLIMMING and value is not None},
        {name: value for name, value in values.items() if name in SLIMMING},
    )


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    return job_in(tmp_path_factory.mktemp("training"))


def arguments(job, directory):
    """As a recipe trains."""
    return TrainingArguments(
        str(directory),
        max_steps=planned_steps(job.task, job.recipe.training),
        per_device_train_batch_size=job.recipe.training.batch_size,
        max_grad_norm=0.0,
        seed=job.recipe.seed,
        data_seed=job.recipe.seed,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )


class TaskTrainer(Trainer):
    """A Trainer of the user's own, with the recipe's loss."""

    def __init__(self, task, *arguments, **named):
        super().__init__(*arguments, **named)
        self.task = task

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return self.task.loss(model, inputs)


def trainer_of(job, directory):
    model = job.initial_model()
    optimizer = optimizer_for(model, job.recipe.training)
    unchanging = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    data = {"train_dataset": job.task.train, "data_collator": job.task.collate}
    return TaskTrainer(job.task, model, arguments(job, directory), **data, optimizers=(optimizer, unchanging))


def batches_of(job, directory):
    """In the Trainer's order."""
    return list(trainer_of(job, directory).get_train_dataloader())


def by_loop(config, job, directory):
    model = job.initial_model().train()
    optimizer = optimizer_for(model, job.recipe.training)
    batches = batches_of(job, directory)
    loop = eb.Search(model, config, total_steps=len(batches), steps_per_epoch=len(batches))
    for batch in batches:
        (job.task.loss(model, batch) + loop.penalty()).backward()
        optimizer.step()
        optimizer.zero_grad()
        if loop.step() is not None:
            break
    loop.finish()
    return loop.ticket


def by_trainer(config, job, directory):
    trainer = trainer_of(job, directory)
    callback = hf_trainer.EarlyBirdCallback(trainer, config)
    trainer.add_callback(callback)
    trainer.train()
    return callback.ticket


class Classifier(pl.LightningModule):
    def __init__(self, job):
        super().__init__()
        self.model = job.initial_model()
        self.loss = job.task.loss
        self.optimizer = partial(optimizer_for, settings=job.recipe.training)

    def on_fit_start(self):
        self.model.train()

    def training_step(self, batch, index):
        return self.loss(self.model, batch)

    def configure_optimizers(self):
        return self.optimizer(self.model)


def by_lightning(config, job, directory):
    batches = batches_of(job, directory)
    callback = lightning.EarlyBirdCallback("model", config)
    trainer = pl.Trainer(
        max_steps=len(batches),
        callbacks=[callback],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Classifier(job), DataLoader(batches, batch_size=None))
    return callback.ticket


def by_recipe(config, job, directory):
    of_search, of_slimming = settings(config)
    recipe = job.recipe.model_dump(mode="json") | {
        "search": of_search,
        "slimming": of_slimming,
        "output": str(directory / "run"),
    }
    path = directory / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    again = Job.begin(read_recipe(str(path), []))
    search(again)
    draw(again)
    return eb.Ticket.load(again.files.ticket("ticket"))


def by_command_line(config, job, directory):
    """A search by a recipe's own settings, recorded to its end; then the ticket of other ones, from the record."""
    of_search, of_slimming = settings(config)
    # What is left alone, and what mends the cut, is not for a draw to say.
    exclude = {name: of_search.pop(name) for name in ("exclude", "compensation")}
    run, ticket = directory / "run", directory / "ticket.json"
    common = [
        *written(TRAINING, "training"),
        *written(MODEL, "model"),
        *written(of_slimming, "slimming"),
        *written(exclude, "search"),
        "search.record=all",
        f"search.score={of_search['score']}",
    ]
    command(["search", "digits", *common, f"output={run}", "--to-the-end"])
    options = [
        f"--{name.replace('_', '-')}" if value is True else f"--{name.replace('_', '-')}={value}"
        for name, value in of_search.items()
        if value is not False
    ]
    command(["draw", str(run), *options, "--output", str(ticket)])
    return eb.Ticket.load(ticket)


def command(arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["earlybird", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 0


# Each takes a config, the training and a directory to work in, and gives the ticket.
WAYS = {
    "Trainer": by_trainer,
    "Lightning": by_lightning,
    "recipe": by_recipe,
    "command line": by_command_line,
}


@pytest.fixture(scope="module", params=CONFIGS)
def config_and_ticket(request, training, tmp_path_factory):
    """A config, and what it draws in a loop."""
    config = CONFIGS[request.param]
    return config, by_loop(config, training, tmp_path_factory.mktemp("loop"))


def test_the_configs_leave_little_at_its_default():
    plain = eb.SearchConfig()
    same = [
        each.name
        for each in fields(plain)
        if all(getattr(plain, each.name) == getattr(config, each.name) for config in CONFIGS.values())
    ]
    # There are no experts, no heads share keys and values, and a budget is in one measure.
    assert same == ["experts", "parameters", "milliseconds", "examples", "kv_groups", "l1_experts"]


def test_a_ticket_says_what_it_was_drawn_by(config_and_ticket):
    config, ticket = config_and_ticket
    assert ticket.provenance["how"] == "detector"
    assert ticket.provenance["config"] == plain_values(with_defaults(config))


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_searching_draws_the_same_ticket(way, training, config_and_ticket, tmp_path):
    config, ticket_of_a_loop = config_and_ticket
    ticket = WAYS[way](config, training, tmp_path)
    assert ticket.masks.keys() == ticket_of_a_loop.masks.keys() == {"heads", "neurons"}
    for kind, mask in ticket_of_a_loop.masks.items():
        assert 0 < mask.sum() < mask.size
        np.testing.assert_array_equal(ticket.masks[kind], mask)
    assert ticket.provenance == ticket_of_a_loop.provenance
