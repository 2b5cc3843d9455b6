"""A search inside the Hugging Face Trainer: the Trainer's events, and a callback for a search of one's own making."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from earlybird.errors import InputError
from earlybird.integrations.driver import SearchDriver
from earlybird.search.search import Search

SEARCH_STATE = "earlybird-search.safetensors"


class DrivingCallback(TrainerCallback):
    """Passes the Trainer's events on to a driver, as long as that has something to drive.

    Attributes:
        stop_at_draw: end the training there.
        draws_after_loading: whether what only the end draws is drawn after the best checkpoint was loaded.
    """

    stop_at_draw: bool
    draws_after_loading = False
    _driver: SearchDriver | None = None

    def drawn(self, optimizer: Any) -> None:
        """Called once, at the step of the draw; the optimizer is as the Trainer holds it."""

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Give the coefficients this step's rate and penalty."""
        if self._driver is not None:
            self._driver.before_step(kwargs["optimizer"])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Observe the step; at the draw, say so and stop if that is wanted."""
        if self._driver is None or not self._driver.active:
            return
        drawn_before = self._driver.ticket is not None
        later = self.draws_after_loading and args.load_best_model_at_end
        last = state.global_step >= state.max_steps and not later
        ticket = self._driver.after_step(kwargs["model"], plain_optimizer(kwargs["optimizer"]), last=last)
        self._refuse_to_save_what_diverged(control)
        if ticket is None:
            return
        if not drawn_before:
            self.drawn(kwargs["optimizer"])
        if self.stop_at_draw:
            control.should_training_stop = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Refuse to save what has diverged, where that is done after an epoch."""
        self._refuse_to_save_what_diverged(control)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Put the search's state into the Trainer's checkpoint, if it could be resumed."""
        if self._driver is None or not self._driver.active or args.output_dir is None:
            return
        if self._driver.search.recorded:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            self._driver.search.save_state(checkpoint / SEARCH_STATE)

    def _refuse_to_save_what_diverged(self, control: TrainerControl) -> None:
        # The Trainer removes the last good checkpoint before it says that it has written another one.
        if control.should_save and self._driver is not None and self._driver.active:
            self._driver.search.flush()


class SearchCallback(DrivingCallback):
    """Drives a search from the Trainer's steps; the loss must include `search.penalty()`, or `penalise` be True.

    The coefficients' rate follows the schedule of the weights', in proportion. The search is finished by its owner.

    Args:
        search: on the Trainer's model, made after the Trainer has placed it on its device.
        learning_rate: the Trainer's highest rate, which the search's own rate is given for.
        on_draw: called once, at the step of the draw; it may finish the search.
        stop_at_draw: end the training there.
        draw_at_end: if the masks have not settled by the end of the training, draw there all the same.
        penalise: add the penalty's gradient to the coefficients, instead of relying on the loss.

    Attributes:
        search: which is driven.
    """

    def __init__(
        self,
        search: Search,
        *,
        learning_rate: float,
        on_draw: Callable[[torch.optim.Optimizer], None] | None = None,
        stop_at_draw: bool = True,
        draw_at_end: bool = False,
        penalise: bool = False,
    ) -> None:
        self.search = search
        self.stop_at_draw = stop_at_draw
        self._on_draw = on_draw
        self._driver = SearchDriver(search, draw_at_end=draw_at_end, penalise=penalise, highest_rate=learning_rate)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Refuse another training than the search's: one that began again, after an out of memory for instance."""
        if self.search.scaled and state.global_step:
            raise InputError(
                "a resumed training has loaded its gradient scaler's state after the search was made, which would"
                " mistake the scale: use EarlyBirdCallback"
            )
        if self.search.steps != state.global_step:
            raise InputError(
                f"the search has seen {self.search.steps} steps, and a training begins at step {state.global_step}:"
                " make a new search, and a new callback, for every training"
            )

    def drawn(self, optimizer: Any) -> None:
        """Tell whoever asked for it."""
        if self._on_draw is not None:
            self._on_draw(optimizer)


def plain_optimizer(optimizer: Any) -> Any:
    """An optimizer without what accelerate puts around it."""
    return getattr(optimizer, "optimizer", optimizer)
