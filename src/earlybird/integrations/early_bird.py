"""The whole way inside the Hugging Face Trainer: search, draw, prune, train on."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Literal

import torch
from torch.utils.hooks import RemovableHandle
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from earlybird.detectors.scores import Score
from earlybird.errors import InputError, JobError
from earlybird.integrations.checkpoints import (
    checkpoint_to_search_on,
    load_coefficients,
    load_older_names,
    refuse_another,
    refuse_pruned,
)
from earlybird.integrations.continuing import detector_to_continue, refuse_unsliceable
from earlybird.integrations.curves import SearchCurves
from earlybird.integrations.trainer import SEARCH_STATE, SearchCallback
from earlybird.masks import Scope
from earlybird.processes import wait_for_all
from earlybird.search import Search
from earlybird.surgery import prune
from earlybird.ticket import Ticket

TRAJECTORY = "trajectory"


class EarlyBirdCallback(TrainerCallback):
    """Searches while a Trainer trains; the loss and the Trainer stay as they are.

        callback = EarlyBirdCallback(trainer, heads=0.3, neurons=0.4)
        trainer.add_callback(callback)
        trainer.train()  # ends at the draw; with then="continue", goes on with the small network
        callback.ticket

    Each call of `train` is a search of its own; its record, `trajectory` in the Trainer's output_dir, replaces that of
    the one before. A resumed one goes on with the search in its checkpoint and with the record, both in output_dir.
    What was saved after the draw of "continue" is the pruned model, to be resumed by a Trainer without this callback.
    With `load_best_model_at_end` the coefficients are those of the best checkpoint, too. The L1 penalty's gradient is
    added to the coefficients, so that no loss needs to be changed. With the Trainer's logs come those of
    `earlybird.integrations.curves.SearchCurves`, to whatever it reports to.

    Args:
        trainer: whose training is searched.
        heads, neurons: ratios to prune, in [0, 1).
        then: at the draw, "stop" the training, or prune the model in place and "continue" with the small network,
            the optimizer's state sliced along.
        score, l1, heads_scope, neurons_scope, threshold: as in `earlybird.Search`.
        detector: as there, but that "continue" draws at a fifth of the training by default (`fixed-time`).
        learning_rate: of the coefficients, by default that of the weights; it follows the weights' schedule.
        draw_at_end: if nothing has settled by the end of the training, draw there all the same.

    Attributes:
        ticket: of the newest training, once it is drawn.

    Raises:
        InputError: when training starts: the Trainer uses fp16, whose scaled gradients would mislead the
            coefficients; "continue" with more than one process or with load_best_model_at_end; a resumed training
            whose checkpoint holds no search, is not one in output_dir (adapters alone are not compared), lacks
            weights, or is from after the draw. At the first step: "continue" with an optimizer whose state cannot be
            sliced (Adafactor).
    """

    def __init__(
        self,
        trainer: Trainer,
        *,
        heads: float | None = None,
        neurons: float | None = None,
        then: Literal["stop", "continue"] = "stop",
        score: Score = "coefficient",
        detector: str | None = None,
        l1: float = 1e-4,
        heads_scope: Scope = "layer",
        neurons_scope: Scope = "global",
        threshold: float | None = None,
        learning_rate: float | None = None,
        draw_at_end: bool = False,
    ) -> None:
        if then not in ("stop", "continue"):
            raise InputError(f'then must be "stop" or "continue", got {then!r}')
        self.trainer = trainer
        self.heads, self.neurons, self.then = heads, neurons, then
        self.detector = detector_to_continue(detector, threshold) if then == "continue" else detector
        self.score, self.l1, self.threshold = score, l1, threshold
        self.heads_scope, self.neurons_scope = heads_scope, neurons_scope
        self.learning_rate, self.draw_at_end = learning_rate, draw_at_end
        self.ticket: Ticket | None = None
        self._driver: SearchCallback | None = None
        self._curves: SearchCurves | None = None
        self._pruned_refused: RemovableHandle | None = None
        if then == "continue" and isinstance(trainer.model, torch.nn.Module):
            self._pruned_refused = trainer.model.register_load_state_dict_pre_hook(  # type: ignore[no-untyped-call]
                refuse_pruned
            )

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Attach the coefficients to the model, which is on its device now; a resumed training resumes its search."""
        self.abandon()
        if args.fp16:
            raise InputError("the search cannot follow fp16's scaled gradients: use bf16=True instead of fp16=True")
        if args.n_gpu > 1:
            raise InputError(
                f"the Trainer would copy the model to {args.n_gpu} GPUs at every step (DataParallel): launch a process"
                " for each GPU, `torchrun --nproc-per-node`, or set CUDA_VISIBLE_DEVICES=0"
            )
        if self.then == "continue" and args.world_size > 1:
            raise InputError(
                f'then="continue" prunes in place, which {args.world_size} processes cannot do together: use "stop",'
                " prune, and train with a new Trainer"
            )
        if self.then == "continue" and args.load_best_model_at_end:
            raise InputError(
                'then="continue" cannot go with load_best_model_at_end=True: the best checkpoint may be from before'
                " the pruning and does not fit the pruned model"
            )
        output = Path(args.output_dir or ".")
        record = output / TRAJECTORY
        resumed = None
        if state.global_step:
            resumed = checkpoint_to_search_on(output, state.global_step)
            if self._loads_by_name():
                refuse_another(kwargs["model"], resumed)
                load_older_names(kwargs["model"], resumed)
        self.ticket = None
        # That of an optimizer of the user's own is not in the arguments.
        group = kwargs["optimizer"].param_groups[0]
        learning_rate = group.get("initial_lr", group["lr"])
        search = Search(
            kwargs["model"],
            heads=self.heads,
            neurons=self.neurons,
            total_steps=state.max_steps,
            score=self.score,
            detector=self.detector,
            l1=self.l1,
            heads_scope=self.heads_scope,
            neurons_scope=self.neurons_scope,
            threshold=self.threshold,
            learning_rate=self.learning_rate or learning_rate,
            record=record,
            overwrite=True,
            resume=None if resumed is None else resumed / SEARCH_STATE,
        )
        self._curves = SearchCurves(search)
        self._driver = SearchCallback(
            search,
            learning_rate=learning_rate,
            stop_at_draw=self.then == "stop",
            draw_at_end=self.draw_at_end,
            penalise=True,
        )

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Give the coefficients this step's rate and penalty."""
        if self._driver is not None:
            self._driver.on_pre_optimizer_step(args, state, control, **kwargs)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Observe the step; at the draw, stop or prune."""
        if self._driver is None:
            return
        if self.then == "continue" and self._driver.search.steps == 0:
            refuse_unsliceable(_plain(kwargs["optimizer"]), kwargs["model"], self._driver.search)
        self._driver.on_step_end(args, state, control, **kwargs)
        self.ticket = self._driver.search.ticket
        if self.ticket is not None and self.then == "continue":
            self._finish(kwargs["model"], kwargs["optimizer"])

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Refuse to save what has diverged, where that is done after an epoch."""
        if self._driver is not None:
            self._driver.on_epoch_end(args, state, control, **kwargs)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Log what the search sees, whenever the Trainer logs its loss."""
        if self._driver is None or self._curves is None or "loss" not in kwargs["logs"]:
            return
        if values := self._curves.newest():
            self.trainer.log(values)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Put the search's state into the Trainer's checkpoint."""
        if self._driver is not None:
            self._driver.on_save(args, state, control, **kwargs)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Fold the coefficients into the weights; a ticket drawn in the newest steps is seen only now.

        Where the best checkpoint was loaded, those are folded that belong to it.
        """
        best = state.best_model_checkpoint if args.load_best_model_at_end else None
        self._finish(kwargs["model"], kwargs["optimizer"], best)

    def abandon(self) -> None:
        """Take the coefficients off a model whose training was interrupted, without folding them.

        The next training does it too.
        """
        if self._pruned_refused is not None:
            self._pruned_refused.remove()
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.search.detach()

    def _loads_by_name(self) -> bool:
        """Whether the Trainer loads a checkpoint's weights into the model as they are named there."""
        return not (self.trainer.is_fsdp_enabled or self.trainer.is_deepspeed_enabled)

    def _finish(self, model: torch.nn.Module, optimizer: Any, best: str | None = None) -> None:
        if self._driver is None:
            return
        search = self._driver.search
        try:
            search.close()
            if self.draw_at_end and search.ticket is None and search.steps:
                search.draw_now()  # of a training that another callback has stopped
            if best is not None:
                wait_for_all()  # the first may be writing it still
                if self._loads_by_name():
                    load_older_names(model, Path(best))
                load_coefficients(search, Path(best))
            search.finish()
            self.ticket = search.ticket
        finally:
            self.abandon()  # what could not be finished leaves no coefficients
        if self.ticket is not None and self.then == "continue":
            prune(model, self.ticket, optimizer=_plain(optimizer))


def train_early_bird(
    trainer: Trainer,
    *,
    heads: float | None = None,
    neurons: float | None = None,
    start: Literal["rewind", "continue"] = "rewind",
    score: Score = "coefficient",
    detector: str | None = None,
    l1: float = 1e-4,
    heads_scope: Scope = "layer",
    neurons_scope: Scope = "global",
    threshold: float | None = None,
    draw_at_end: bool = True,
) -> Ticket:
    """Search, draw, prune and train on, all with one Trainer; afterwards its model is small and trained.

    Args:
        trainer: ready to train; its model is pruned in place.
        heads, neurons: ratios to prune, in [0, 1).
        start: "rewind" to the initial weights and train by the whole schedule again, or "continue" from the draw to
            the schedule's end.
        score, l1, heads_scope, neurons_scope, threshold: as in `earlybird.Search`.
        detector: as there, but that "continue" draws at a fifth of the training by default (`fixed-time`).
        draw_at_end: if nothing has settled by the end of the search, draw there all the same; continuing from
            there leaves nothing to train.

    Returns:
        The ticket.

    Raises:
        InputError: settings out of bounds, or a Trainer whose model, precision or (continuing) optimizer will not do.
        JobError: nothing settled, and `draw_at_end` is False.
    """
    model = trainer.model
    if not isinstance(model, torch.nn.Module):
        raise InputError("the Trainer has no model yet (model_init): build the model and give it to the Trainer")
    if start not in ("rewind", "continue"):
        raise InputError(f'start must be "rewind" or "continue", got {start!r}')
    rewind = start == "rewind"
    initial = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()} if rewind else {}
    own_optimizer, own_scheduler = trainer.optimizer is not None, copy.deepcopy(trainer.lr_scheduler)
    callback = EarlyBirdCallback(
        trainer,
        heads=heads,
        neurons=neurons,
        then="stop" if rewind else "continue",
        score=score,
        detector=detector,
        l1=l1,
        heads_scope=heads_scope,
        neurons_scope=neurons_scope,
        threshold=threshold,
        draw_at_end=draw_at_end,
    )
    trainer.add_callback(callback)
    try:
        trainer.train()
    finally:
        callback.abandon()
        trainer.remove_callback(callback)
    if callback.ticket is None:
        raise JobError("the masks did not settle within the training; train longer, or give draw_at_end=True")
    if rewind:
        model.load_state_dict(initial)
        optimizer = _plain(trainer.optimizer)
        prune(model, callback.ticket, optimizer=optimizer if own_optimizer else None)
        _start_anew(trainer, optimizer if own_optimizer else None, own_scheduler)
        trainer.train()
    return callback.ticket


def _plain(optimizer: Any) -> Any:
    """An optimizer without what accelerate puts around it."""
    return getattr(optimizer, "optimizer", optimizer)


def _start_anew(trainer: Trainer, optimizer: Any, scheduler: Any) -> None:
    """Let the next training begin as the first did: an optimizer that remembers nothing, the schedule's start."""
    trainer.optimizer, trainer.lr_scheduler = optimizer, None
    # What the Trainer wrapped for several processes reduces the gradients of the parameters before pruning.
    trainer.model_wrapped = trainer.model  # type: ignore[assignment]
    if optimizer is None:
        return
    optimizer.state.clear()
    for group in optimizer.param_groups:
        group["lr"] = group.get("initial_lr", group["lr"])
    if scheduler is not None:
        scheduler.optimizer = optimizer
        trainer.lr_scheduler = scheduler
