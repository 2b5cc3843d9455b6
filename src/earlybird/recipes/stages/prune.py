"""Remove the pruned units: from the initial weights (rewind), or from those at the draw (continue)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from earlybird.errors import InputError
from earlybird.integrations.compensated_prune import prune_on
from earlybird.recipes.adapters import load_with_adapters
from earlybird.recipes.optimizer_state import (
    OPTIMIZER,
    load_optimizer_state,
    optimizer_state_by_name,
    read_optimizer_state,
    write_optimizer_state,
)
from earlybird.recipes.run_directory import read_numbers, replace_directory
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.search import DRAWN
from earlybird.recipes.training import optimizer_for
from earlybird.ticket import Ticket
from earlybird.vocabulary import Weights, Which


def prune_run(job: Job, weights: Weights, which: Which, *, force: bool = False) -> bool:
    """Write the pruned model that training starts from; False if that was done before, and not to be done again.

    Raises:
        InputError: there is no ticket, it is for another model, or the search kept no weights of its draw.
    """
    target = job.files.pruned(weights, which)
    if target.is_dir() and not force:
        return False
    ticket = Ticket.load(job.files.ticket(which))
    optimizer = None
    if weights == "rewind":
        model = job.initial_model()
    else:
        source = _weights_at_the_draw(job, ticket)
        model = load_with_adapters(source)
        optimizer = optimizer_for(model, job.recipe.training)
        load_optimizer_state(optimizer, model, read_optimizer_state(source / OPTIMIZER))
    making = target.with_name(f"{which}.tmp")
    wanted = job.recipe.search.compensation
    prune_on(model, ticket, _batches(job, model.device) if wanted else (), wanted, optimizer=optimizer)
    job.save(model, making)
    if optimizer is not None:
        write_optimizer_state(making / OPTIMIZER, optimizer_state_by_name(optimizer, model))
    replace_directory(making, target)
    return True


def _batches(job: Job, device: torch.device) -> list[Callable[[nn.Module], Any]]:
    """The recipe's batches to refit on, drawn from the training items by its seed; each is called with the model."""
    task, size, count = job.task, job.recipe.training.batch_size, job.recipe.search.compensation
    order = torch.randperm(len(task.train), generator=torch.Generator().manual_seed(job.recipe.seed)).tolist()
    places = [order[first : first + size] for first in range(0, min(count * size, len(order)), size)]
    batches = [task.collate([task.train[place] for place in some]) for some in places]
    return [
        functools.partial(task.forward, batch={name: value.to(device) for name, value in batch.items()})
        for batch in batches
    ]


def _weights_at_the_draw(job: Job, ticket: Ticket) -> Path:
    drawn = job.files.drawn
    kept = read_numbers(drawn / DRAWN, ["step"])["step"] if drawn.is_dir() else None
    wanted = ticket.provenance.get("draw_step")
    if kept is None or kept != wanted:
        raise InputError(
            f"to continue, the weights at the draw (step {wanted}) are needed, but the search kept"
            f" {'none' if kept is None else f'those of step {kept}'}: use --weights rewind, or search again"
        )
    return drawn
