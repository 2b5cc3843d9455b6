"""One search driven from the steps of somebody else's training loop, whatever framework runs it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Self, get_args

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from earlybird.anatomy import Anatomy
from earlybird.anatomy.agreement import together
from earlybird.anatomy.distributed import is_first, several
from earlybird.config import SearchConfig
from earlybird.detectors.defaults import scored_by, with_defaults
from earlybird.detectors.factory import given_settings
from earlybird.errors import InputError
from earlybird.integrations.compensated_prune import prune_on
from earlybird.integrations.kept_batches import Call, KeptBatches
from earlybird.integrations.may_continue import (
    config_without_wrapper,
    refuse_after_first_step,
    refuse_before_training,
)
from earlybird.integrations.metrics import SearchCurves
from earlybird.integrations.pruned_model import refuse_removed_parameters
from earlybird.search.recording import Recording
from earlybird.search.search import Search
from earlybird.surgery.data_parallel import data_parallel_around
from earlybird.ticket import Ticket
from earlybird.vocabulary import AtDraw

_log = logging.getLogger(__name__)


class SearchDriver:
    """Does at each event of a training what the search asks for; an adapter only passes the events on.

    `before_step` and `after_step` around every optimizer step; then `end`, or `abandon` where the training failed.

    Args:
        search: on the model that trains, made after this has come to its device.
        then: at the draw, "stop" leaves the search on the model until `end`; "continue" ends it there, prunes the model
            in place and slices the optimizer's state along.
        draw_at_end: if nothing has settled by the end of the training, draw there all the same.
        prune_at_end: "continue" prunes by what only the end has drawn, too, although nothing is left to train.
        penalise: add the penalty's gradient to the coefficients, instead of relying on the loss.
        follow_weights: let the coefficients train at the weights' rate. Otherwise they train at the search's own, in
            proportion to the weights' schedule.
        highest_rate: of the weights' schedule, which the search's own rate is given for; by default what the schedule
            has noted in the optimizer, and without a schedule the search's rate stays as it is.
        wrapper: around the model for several processes, which "continue" builds anew in place.

    Attributes:
        search: which is driven.
        pruned: whether it has pruned the model.
    """

    def __init__(
        self,
        search: Search,
        *,
        then: AtDraw = "stop",
        draw_at_end: bool = False,
        prune_at_end: bool = True,
        penalise: bool = True,
        follow_weights: bool = False,
        highest_rate: float | None = None,
        wrapper: DistributedDataParallel | None = None,
    ) -> None:
        self.search = search
        self.pruned = False
        self._then = then
        self._draw_at_end = draw_at_end
        self._prune_at_end = prune_at_end
        self._penalise = penalise
        self._own_rate = None if follow_weights else search.learning_rate
        self._highest_rate = highest_rate
        self._wrapper = wrapper
        self._curves = SearchCurves(search)
        self._kept: KeptBatches | None = None
        self._stepped = False

    @classmethod
    def begin(
        cls,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        config: SearchConfig,
        *,
        total_steps: int,
        steps_per_epoch: int | None,
        then: AtDraw,
        draw_at_end: bool,
        prune_at_end: bool = True,
        recording: Recording | None,
        wrapper: nn.Module | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> Self:
        """Attach a search to a model that is about to train by an optimizer, whose loss stays as it is.

        Args:
            wrapper: what the training calls, around the model or another module that holds it.
            scaler: of a loss in float16.

        Raises:
            InputError: see `Search`; the optimizer holds parameters that an earlier pruning has removed; "continue"
                with an optimizer that cannot be taken along, or in several processes without torch's
                DistributedDataParallel, or with one that cannot be built anew.
        """
        around = None if wrapper is None else data_parallel_around(wrapper)
        if several() and around is None:
            config = config_without_wrapper(config, then)

        def checked() -> Anatomy:
            refuse_removed_parameters(optimizer)
            anatomy = Anatomy.of(model)
            if then == "continue":
                refuse_before_training(model, anatomy.excluding(config.exclude), optimizer, around)
            return anatomy

        anatomy = together(checked)
        config = config_to_continue(config) if then == "continue" else with_defaults(config)
        follow_weights = config.learning_rate is None
        if follow_weights and (rate := _highest_rate(optimizer)) > 0:
            config = replace(config, learning_rate=rate)  # the ticket tells it
        search = Search(
            model,
            config,
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
            anatomy=anatomy,
            recording=recording,
            scaler=scaler,
        )
        driver = cls(
            search,
            then=then,
            draw_at_end=draw_at_end,
            prune_at_end=prune_at_end,
            follow_weights=follow_weights,
            wrapper=around,
        )
        if config.compensation:
            driver._kept = KeptBatches(model, config.compensation)
        return driver

    @property
    def active(self) -> bool:
        """Whether the search is on the model still; if not, there is nothing left to drive."""
        return self.search.slimming.attached

    @property
    def ticket(self) -> Ticket | None:
        """Once it is drawn."""
        return self.search.ticket

    @property
    def batches(self) -> Sequence[Call]:
        """The newest that the model has trained on, as many as the config's `compensation` says."""
        return () if self._kept is None else tuple(self._kept.calls)

    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Give the coefficients this step's rate, before the schedule moves on, and their penalty."""
        if not self.active:
            return
        if self._penalise:
            self.search.apply_penalty()
        rate = float(optimizer.param_groups[0]["lr"])
        if self._own_rate is None:
            self.search.learning_rate = rate
        elif highest := self._highest_rate or _highest_rate(optimizer):
            self.search.learning_rate = self._own_rate / highest * rate

    def after_step(self, model: nn.Module, optimizer: torch.optim.Optimizer, *, last: bool) -> Ticket | None:
        """Look at the step; the ticket, once it is drawn, for the caller to stop at where that is wanted.

        Args:
            model: that trains, to prune where the training continues.
            optimizer: of the model.
            last: whether the training ends with this step.

        Raises:
            InputError: the training continues, by an optimizer that cannot be taken along (at the first step that is
                taken, which shows it); see `Search.step`.
            JobError: see `Search.step`.
        """
        if not self.active:
            return self.ticket
        seen = self.search.steps
        ticket = self.search.step()
        # A step that a gradient scaler has skipped leaves an optimizer without a state.
        if self.search.steps > seen and not self._stepped:
            self._stepped = True
            if self._then == "continue":
                refuse_after_first_step(model, self.search.anatomy, self.search.slimming.coefficients, optimizer)
        if ticket is None and last and self._draw_at_end and self.search.steps:
            ticket = self.search.draw_now()
        if ticket is not None and self._then == "continue":
            self.end(model, optimizer)
        return ticket

    def metrics(self) -> dict[str, float]:
        """What the search sees at the newest step, by name, see `SearchCurves`; {} once it is off the model."""
        return self._curves.newest() if self.active else {}

    def close(self) -> None:
        """Look at the newest steps, too, and draw if nothing has settled and that is wanted; `end` does so itself.

        Raises:
            JobError: see `Search.step`.
        """
        self.search.close()
        if self._draw_at_end and self.ticket is None and self.search.steps:
            self.search.draw_now()  # of a training that something else has stopped

    def end(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Fold the coefficients into the weights, and prune where the training continues; what fails leaves none.

        Says so in the log where nothing was drawn. Does nothing after the search has ended.

        Raises:
            InputError: see `Search.finish` and `earlybird.prune`.
            JobError: see `Search.step`.
        """
        if not self.active:
            return
        try:
            self.close()
            self.search.finish()
        finally:
            self.abandon()
        if self.ticket is None:
            _warn_unsettled()
        elif self._then == "continue" and (self._prune_at_end or self.ticket.provenance["how"] != "end"):
            wanted = self.search.config.compensation
            prune_on(model, self.ticket, self.batches, wanted, optimizer=optimizer, wrapper=self._wrapper)
            self.pruned = True
            self._kept = None

    def abandon(self) -> None:
        """Take the coefficients off a model whose training has failed, without folding them."""
        if self._kept is not None:
            self._kept.close()
        if self.active:
            self.search.detach()


def check_then(then: AtDraw) -> None:
    """Raise InputError for anything but what a callback can do at the draw."""
    if then not in get_args(AtDraw):
        raise InputError(f'then must be "stop" or "continue", got {then!r}')


def config_to_continue(config: SearchConfig) -> SearchConfig:
    """The config of a training that goes on from its draw: by coefficients at a fifth, if nothing else is asked for.

    Measured on three workloads, what their default detector draws leaves too little of the training to mend what
    pruning broke; benchmarks/detectors/comparison.md has the numbers.
    """
    late = config.detector is None and scored_by(config) == "coefficient" and not given_settings(config)
    return with_defaults(replace(config, score="coefficient", detector="fixed-time") if late else config)


def _highest_rate(optimizer: torch.optim.Optimizer) -> float:
    """Of the weights, as a schedule has noted it; without a schedule their rate."""
    group = optimizer.param_groups[0]
    return float(group.get("initial_lr", group["lr"]))


def _warn_unsettled() -> None:
    if is_first():
        _log.warning(
            "the masks did not settle; nothing was pruned, and the ticket is None: train longer, name another detector"
            " in the SearchConfig, or give draw_at_end=True to draw at the end all the same"
        )
