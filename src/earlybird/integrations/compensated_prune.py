"""The cut at the draw of a training, refitted on the batches that it has gone through."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from earlybird.anatomy.distributed import is_first
from earlybird.surgery.compensate import CannotCompensateError, Compensation
from earlybird.surgery.prune import prune_in
from earlybird.ticket import Ticket

_log = logging.getLogger(__name__)


def prune_on(
    model: nn.Module,
    ticket: Ticket,
    batches: Sequence[Callable[[nn.Module], Any]],
    wanted: int,
    *,
    optimizer: torch.optim.Optimizer | None,
    wrapper: DistributedDataParallel | None = None,
    by_all: bool = False,
) -> None:
    """Prune, refitted on the batches that were kept; the log says where they are no use. See `prune_in`."""
    if not wanted:
        prune_in(wrapper, model, ticket, optimizer=optimizer, compensation=None, by_all=by_all)
        return
    try:
        prune_in(wrapper, model, ticket, optimizer=optimizer, compensation=Compensation(batches), by_all=by_all)
    except CannotCompensateError as error:
        if is_first():
            _log.warning("pruned without compensation (compensation=%d): %s", wanted, error)
        prune_in(wrapper, model, ticket, optimizer=optimizer, compensation=None, by_all=by_all)
        return
    if len(batches) < wanted and is_first():
        _log.info("refitted on %d batches, not %d: no more were trained on, or could be kept", len(batches), wanted)
