"""What a callback, or its user, has pruned already: it trains on without a second search."""

from __future__ import annotations

import logging
import weakref

import torch
from torch import nn

from earlybird.anatomy import Anatomy
from earlybird.anatomy.distributed import is_first
from earlybird.anatomy.wrappers import unwrapped
from earlybird.errors import InputError
from earlybird.surgery.removed_parameters import removed_in
from earlybird.ticket import Ticket

_log = logging.getLogger(__name__)


class PrunedModel:
    """The model that a callback has pruned: no other training of it may search and prune it again."""

    def __init__(self) -> None:
        self._model: weakref.ref[nn.Module] | None = None

    def remember(self, model: nn.Module) -> None:
        """Take note of a model that was just pruned."""
        self._model = weakref.ref(unwrapped(model))

    def is_in(self, model: nn.Module | None) -> bool:
        """Whether it is this model that was pruned."""
        return model is not None and self._model is not None and self._model() is unwrapped(model)

    def trains_on(self, model: nn.Module, ticket: Ticket | None) -> bool:
        """Whether a training that begins is one of the model pruned before; the log says so.

        Args:
            model: that is about to train.
            ticket: the callback's newest, by which the user may have pruned the model.
        """
        if not self.is_in(model) and not (ticket is not None and _is_pruned_by(model, ticket)):
            return False
        if is_first():
            _log.warning(
                "this model is pruned by the callback's ticket already: it trains on without a search, and the ticket"
                " stays; to search in it and prune it once more, use a new callback"
            )
        return True


def refuse_removed_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Raise InputError if an optimizer that is about to train holds parameters that an earlier pruning has removed."""
    if count := removed_in(optimizer):
        raise InputError(
            f"the optimizer holds {count} parameters that pruning has removed from the model, and those in their"
            " place would not train: give the optimizer to earlybird.prune (optimizer=), or let a new one be made"
            " (trainer.optimizer = None)"
        )


def _is_pruned_by(model: nn.Module, ticket: Ticket) -> bool:
    """Whether a model has the units that a ticket keeps, in each of its blocks, and fewer than there were."""
    anatomy = Anatomy.of(model)
    for kind, names in ticket.blocks.items():
        units = dict(zip(anatomy.names.get(kind, ()), anatomy.units.get(kind, ()), strict=True))
        if [units.get(name) for name in names] != list(ticket.kept(kind)):
            return False
    return any(not mask.all() for mask in ticket.masks.values())
