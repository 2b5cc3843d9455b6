"""The search beside a Hugging Face Trainer's training, as a callback."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

from earlybird.anatomy.agreement import together
from earlybird.anatomy.distributed import wait_for_all
from earlybird.config import SearchConfig
from earlybird.errors import InputError
from earlybird.integrations.driver import SearchDriver, check_then
from earlybird.integrations.hf_checkpoints import (
    checkpoint_to_search_on,
    load_best_by_older_names,
    load_coefficients,
    load_older_names,
    loads_by_name,
    refuse_another,
    refuse_before_the_draw,
    refuse_pruned,
)
from earlybird.integrations.kept_batches import Call
from earlybird.integrations.pruned_model import PrunedModel, refuse_removed_parameters
from earlybird.integrations.search_callback import SEARCH_STATE, DrivingCallback, plain_optimizer
from earlybird.search.recording import Recording
from earlybird.search.search import Search
from earlybird.ticket import Ticket
from earlybird.vocabulary import AtDraw

TRAJECTORY = "trajectory"


class EarlyBirdCallback(DrivingCallback):
    """Searches while a Trainer trains; the loss and the Trainer stay as they are.

        callback = EarlyBirdCallback(trainer, SearchConfig(heads=0.3, neurons=0.4))
        trainer.add_callback(callback)
        trainer.train()  # ends at the draw; with then="continue", goes on with the small network
        callback.ticket

    Each call of `train` is a search of its own; its record replaces that of the one before. A model that "continue" has
    pruned trains on instead, without a search, when `train` is called once more or the Trainer begins again by itself
    (`auto_find_batch_size`): the ticket stays. A resumed training goes on with the search in its checkpoint, which lies
    in output_dir, and with the record.
    What was saved after the draw of "continue" is the pruned model, to be resumed by a Trainer without this callback.
    With `load_best_model_at_end` the coefficients are those of the best checkpoint, too; "continue" loads the best of
    those after the cut. The L1 penalty's gradient is
    added to the coefficients, so that no loss needs to be changed. With the Trainer's logs come those of
    `earlybird.integrations.metrics.SearchCurves`, to whatever it reports to.

    Args:
        trainer: whose training is searched.
        config: as of `earlybird.Search`, but that "continue" by coefficients draws at a fifth of the training by
            default (`fixed-time`), and that the coefficients train at the weights' rate by default; theirs follows the
            schedule of the weights'.
        then: at the draw, "stop" the training, or prune the model in place and "continue" with the small network,
            the optimizer's state sliced along.
        draw_at_end: if nothing has settled by the end of the training, draw there all the same; otherwise a warning in
            the log says that nothing was pruned.
        record: directory to write the trajectory to, by default `trajectory` in the Trainer's output_dir.

    Attributes:
        ticket: of the newest training, once it is drawn.
        batches: with `compensation` in the config and then="stop", the newest of the training, for
            `prune(compensate=callback.batches)`.
        search: of the training under way; None before and after.
        prune_at_end: whether "continue" prunes by what only the end of the training has drawn, too.

    Raises:
        InputError: when training starts: fp16 with trained coefficients; DeepSpeed; "continue" where the model is
            spread over processes by anything but torch's DistributedDataParallel, or with an optimizer that cannot be
            taken along (Adafactor, LBFGS; one whose state shows only in training is refused at the first step);
            processes that disagree; a resumed training whose checkpoint holds no search, is not one in output_dir
            (adapters alone are not compared), lacks weights, or is from after the draw; an optimizer with parameters
            that pruning has removed.
    """

    draws_after_loading = True  # so that what only the end draws is cut from the best checkpoint

    def __init__(
        self,
        trainer: Trainer,
        config: SearchConfig,
        *,
        then: AtDraw = "stop",
        draw_at_end: bool = False,
        record: str | os.PathLike[str] | None = None,
    ) -> None:
        check_then(then)
        self.trainer, self.config, self.then = trainer, config, then
        self.draw_at_end = draw_at_end
        self.record = None if record is None else Path(record)
        self.ticket: Ticket | None = None
        self.batches: Sequence[Call] = ()
        self.prune_at_end = True
        self.stop_at_draw = then == "stop"
        self._pruned = PrunedModel()
        self._cut = False
        self._pruned_refused: RemovableHandle | None = None
        if then == "continue" and isinstance(trainer.model, torch.nn.Module):
            self._pruned_refused = trainer.model.register_load_state_dict_pre_hook(  # type: ignore[no-untyped-call]
                refuse_pruned
            )

    @property
    def search(self) -> Search | None:
        """Of the training under way."""
        return self._driver.search if self._driver is not None and self._driver.active else None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Attach the coefficients to the model, which is on its device now; a resumed training resumes its search."""
        self.abandon()
        output = Path(args.output_dir or ".")
        if self._pruned.trains_on(kwargs["model"], self.ticket):
            refuse_removed_parameters(kwargs["optimizer"])
            refuse_before_the_draw(output, state.global_step)
            return
        self._refuse(args)
        resumed = together(lambda: self._resumed(output, state.global_step, kwargs["model"]))
        self.ticket, self._cut = None, False
        self._driver = SearchDriver.begin(
            kwargs["model"],
            kwargs["optimizer"],
            self.config,
            total_steps=state.max_steps,
            steps_per_epoch=_steps_per_epoch(kwargs["train_dataloader"], args.gradient_accumulation_steps),
            then=self.then,
            draw_at_end=self.draw_at_end,
            prune_at_end=self.prune_at_end,
            recording=Recording(
                self.record or output / TRAJECTORY,
                resume=None if resumed is None else resumed / SEARCH_STATE,
                overwrite=True,
            ),
            wrapper=self.trainer.model_wrapped,
            scaler=self.trainer.accelerator.scaler,  # its state is loaded by now
        )

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Observe the step; at the draw, stop or prune."""
        super().on_step_end(args, state, control, **kwargs)
        if self._driver is None:
            return
        if self._driver.pruned and not self._cut:
            # The best so far are whole networks, which no small one is to be measured by, or could take weights from.
            state.best_metric, state.best_model_checkpoint, state.best_global_step = None, None, None
        self._take_note(self._driver, kwargs["model"])

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Log what the search sees, whenever the Trainer logs its loss."""
        if self._driver is not None and "loss" in kwargs["logs"] and (values := self._driver.metrics()):
            self.trainer.log(values)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Fold the coefficients into the weights; a ticket drawn in the newest steps is seen only now.

        Where the best checkpoint was loaded, those are folded that belong to it.
        """
        driver = self._driver
        if driver is None:
            load_best_by_older_names(self.trainer)
            return
        try:
            if driver.active and args.load_best_model_at_end and state.best_model_checkpoint is not None:
                driver.close()
                self._take_up(driver.search, kwargs["model"], Path(state.best_model_checkpoint))
            elif driver.pruned:
                load_best_by_older_names(self.trainer)
            driver.end(kwargs["model"], plain_optimizer(kwargs["optimizer"]))
            self._take_note(driver, kwargs["model"])
        finally:
            self.abandon()  # what could not be finished leaves no coefficients

    def abandon(self) -> None:
        """Take the coefficients off a model whose training was interrupted, without folding them.

        The next training does it too.
        """
        if self._pruned_refused is not None:
            self._pruned_refused.remove()
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.abandon()

    def _take_note(self, driver: SearchDriver, model: torch.nn.Module) -> None:
        self.ticket = driver.ticket
        self.batches = () if driver.ticket is None or driver.pruned else driver.batches
        self._cut = driver.pruned
        if driver.pruned:
            self._pruned.remember(model)

    def _resumed(self, output: Path, step: int, model: torch.nn.Module) -> Path | None:
        """The checkpoint that the training goes on from, its weights compared; None where it begins."""
        if not step:
            return None
        checkpoint = checkpoint_to_search_on(output, step)
        if loads_by_name(self.trainer):
            refuse_another(model, checkpoint)
            load_older_names(model, checkpoint)
        return checkpoint

    def _refuse(self, args: TrainingArguments) -> None:
        """Raise InputError for a training that the search could not follow."""
        if args.n_gpu > 1:
            raise InputError(
                f"the Trainer would copy the model to {args.n_gpu} GPUs at every step (DataParallel): launch a process"
                " for each GPU, `torchrun --nproc-per-node`, or set CUDA_VISIBLE_DEVICES=0"
            )
        if self.trainer.is_deepspeed_enabled:
            raise InputError(
                "DeepSpeed keeps gradients and parameters where a search cannot read them: search with"
                " DistributedDataParallel (no deepspeed= in the TrainingArguments), prune, and train the small network"
                " with DeepSpeed"
            )

    def _take_up(self, search: Search, model: torch.nn.Module, best: Path) -> None:
        """Take up the coefficients of the checkpoint that the Trainer has loaded, and the weights that it has not."""
        wait_for_all()  # the first may be writing it still
        if loads_by_name(self.trainer):
            load_older_names(model, best)
        load_coefficients(search, best)


def _steps_per_epoch(batches: Any, accumulated: int) -> int | None:
    """Optimizer steps of an epoch, as the Trainer counts them; None where it does not know how many batches come."""
    try:
        return max(1, math.ceil(len(batches) / accumulated))
    except TypeError:
        return None
