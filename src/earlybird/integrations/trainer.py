"""A search inside the Hugging Face Trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from earlybird.search import Search

SEARCH_STATE = "earlybird-search.safetensors"


class SearchCallback(TrainerCallback):
    """Drives a search from the Trainer's steps; the loss must include `search.penalty()`, or `penalise` be True.

    The coefficients' rate follows the schedule of the weights', in proportion.

    Args:
        search: on the Trainer's model, made after the Trainer has placed it on its device.
        learning_rate: the Trainer's highest rate, which the search's own rate is given for.
        on_draw: called once, at the step of the draw.
        stop_at_draw: end the training there.
        penalise: add the penalty's gradient to the coefficients, instead of relying on the loss.
        draw_at_end: if the masks have not settled by the end of the training, draw there all the same.
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
        self.on_draw = on_draw
        self.stop_at_draw = stop_at_draw
        self.draw_at_end = draw_at_end
        self.penalise = penalise
        self._proportion = search.learning_rate / learning_rate

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Give the coefficients this step's rate, before the schedule moves on, and their penalty."""
        if not self.search.slimming.attached:
            return
        if self.penalise:
            self.search.apply_penalty()
        self.search.learning_rate = self._proportion * kwargs["optimizer"].param_groups[0]["lr"]

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Observe the step; at the draw, say so and stop if that is wanted. `on_draw` may finish the search."""
        if not self.search.slimming.attached:
            return
        drawn_before = self.search.ticket is not None
        ticket = self.search.step()
        self._refuse_to_save_what_diverged(control)
        if ticket is None and self.draw_at_end and state.global_step >= state.max_steps:
            ticket = self.search.draw_now()
        if ticket is None:
            return
        if not drawn_before and self.on_draw is not None:
            self.on_draw(kwargs["optimizer"])
        if self.stop_at_draw:
            control.should_training_stop = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Refuse to save what has diverged, where that is done after an epoch."""
        self._refuse_to_save_what_diverged(control)

    def _refuse_to_save_what_diverged(self, control: TrainerControl) -> None:
        # The Trainer removes the last good checkpoint before it says that it has written another one.
        if control.should_save and self.search.slimming.attached:
            self.search.flush()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Put the search's state into the Trainer's checkpoint, if it could be resumed."""
        if self.search.slimming.attached and self.search.recorded and args.output_dir is not None:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            self.search.save_state(checkpoint / SEARCH_STATE)
