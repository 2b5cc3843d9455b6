"""What two processes that do not agree are told."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState, powerSGD_hook
from torch.nn.parallel import DistributedDataParallel
from worker import batches, model_to_train

import earlybird as eb

CONFIG = eb.SearchConfig(heads=0.5, neurons=0.5, score="squared-gradient", detector="fixed-time", threshold=0.25)


class OwnWrapper(DistributedDataParallel):
    """A wrapper that takes other arguments than torch's own, for all that is known."""


def refusal(action: Callable[[], Any]) -> str:
    try:
        action()
    except (eb.InputError, eb.JobError) as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def searched(config: eb.SearchConfig = CONFIG, total_steps: int = 40, **others: Any) -> eb.Search:
    return eb.Search(model_to_train(), config, total_steps=total_steps, **others)


def interrupted(directory: Path) -> None:
    """A search with a record and a state to go on from."""
    model = DistributedDataParallel(model_to_train())
    optimizer = torch.optim.AdamW(model.parameters())
    search = eb.Search(model, CONFIG, total_steps=40, recording=eb.Recording(directory / "record"))
    for batch in batches()[:4]:
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        search.step()
    search.save_state(directory / "state")
    search.detach()
    torch.distributed.barrier()


def refusals(directory: Path) -> dict[str, Any]:
    """What this process is told, by name."""
    rank = torch.distributed.get_rank()
    interrupted(directory)
    units = eb.Anatomy.of(model_to_train())
    amount = eb.PruningConfig(heads=0.5, neurons=0.5)
    tickets = [eb.Ticket.random(units, amount, seed=seed) for seed in (0, 1)]
    own = batches()[:4]
    record = directory / ("record" if rank == 0 else "not-mounted")
    wrapped = DistributedDataParallel(model_to_train())
    hooked = DistributedDataParallel(model_to_train())
    hooked.register_comm_hook(PowerSGDState(None), powerSGD_hook)
    optimizers = [kind(wrapped.parameters()) for kind in (torch.optim.AdamW, torch.optim.LBFGS)]
    told = {
        "length": refusal(lambda: searched(total_steps=40 + rank)),
        "config": refusal(lambda: searched(replace(CONFIG, heads=0.5 - rank / 4))),
        "record": refusal(lambda: searched(recording=eb.Recording(directory / "new") if rank == 0 else None)),
        "disk": refusal(lambda: searched(recording=eb.Recording(record, resume=directory / "state"))),
        "ticket": refusal(lambda: eb.prune(wrapped, tickets[rank])),
        "one-sided": refusal(lambda: eb.prune(wrapped, tickets[0], compensate=own if rank == 0 else None)),
        "invalid": refusal(lambda: searched(replace(CONFIG, detector="fixed-time" if rank == 0 else "no-such"))),
        "own-optimizer": refusal(lambda: eb.prune(wrapped, tickets[0], optimizer=optimizers[rank])),
        "batches": refusal(lambda: eb.prune(wrapped, tickets[0], compensate=own if rank == 0 else [])),
        "class": refusal(lambda: eb.prune(OwnWrapper(model_to_train()), tickets[0])),
        "hook": refusal(lambda: eb.prune(hooked, tickets[0])),
    }
    optimizers.clear()
    before = [weakref.ref(parameter) for parameter in wrapped.parameters()]
    told["pruned"] = refusal(lambda: eb.prune(wrapped, tickets[0], compensate=own))
    alive = sum(reference() is not None for reference in before)
    told["freed"] = alive < len(before) and all(
        reference() is None or any(reference() is each for each in wrapped.parameters()) for reference in before
    )
    told["buffer"] = buffer_of_its_own(tickets[0])
    return told


def buffer_of_its_own(ticket: eb.Ticket) -> float:
    """What each process has in a buffer that DDP leaves alone, after a cut, minus its rank."""
    model = model_to_train()
    model.register_buffer("own", torch.zeros(()))
    wrapper = DistributedDataParallel(model, broadcast_buffers=False)
    rank = torch.distributed.get_rank()
    model.own.fill_(rank)
    eb.prune(wrapper, ticket)
    return float(model.own) - rank
