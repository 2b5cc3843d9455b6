"""Remove the pruned units: from the initial weights (rewind), or from those at the draw (continue)."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from earlybird.anatomy import Anatomy
from earlybird.checkpoint import load
from earlybird.errors import InputError
from earlybird.recipes.optimizer_state import OPTIMIZER, read_optimizer_state, write_optimizer_state
from earlybird.recipes.run_directory import Start, Which, read_numbers, replace_directory
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.search import DRAWN
from earlybird.surgery import cuts, prune, slice_state
from earlybird.ticket import Ticket


def prune_run(job: Job, start: Start, which: Which, *, force: bool = False) -> bool:
    """Write the pruned model that training starts from; False if that was done before, and not to be done again.

    Raises:
        InputError: there is no ticket, it is for another model, or the search kept no weights of its draw.
    """
    target = job.files.pruned(start, which)
    if target.is_dir() and not force:
        return False
    ticket = Ticket.load(job.files.ticket(which))
    state: dict[str, dict[str, Tensor]] = {}
    if start == "rewind":
        model = job.initial_model()
    else:
        source = _weights_at_the_draw(job, ticket)
        model = load(source)
        state = slice_state(read_optimizer_state(source / OPTIMIZER), cuts(model, Anatomy.of(model), ticket))
    making = target.with_name(f"{which}.tmp")
    job.save(prune(model, ticket), making)
    if start == "continue":
        write_optimizer_state(making / OPTIMIZER, state)
    replace_directory(making, target)
    return True


def _weights_at_the_draw(job: Job, ticket: Ticket) -> Path:
    drawn = job.files.drawn
    kept = read_numbers(drawn / DRAWN, ["step"])["step"] if drawn.is_dir() else None
    wanted = ticket.provenance.get("draw_step")
    if kept is None or kept != wanted:
        raise InputError(
            f"to continue, the weights at the draw (step {wanted}) are needed, but the search kept"
            f" {'none' if kept is None else f'those of step {kept}'}: use start=rewind, or search again"
        )
    return drawn
