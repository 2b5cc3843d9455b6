"""The Trainer of a recipe: the task's loss and batches, a penalty, checkpoints under the model's own names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_model
from torch import Tensor, nn
from transformers import Trainer

from earlybird.integrations.metrics import SearchCurves
from earlybird.recipes.adapters import has_adapters, write_adapters
from earlybird.recipes.clock import TrainingClock
from earlybird.recipes.tasks.base import Task
from earlybird.search.search import Search


class RecipeTrainer(Trainer):
    """The Hugging Face Trainer over a task.

    Args:
        task: gives items, batches, loss and predictions.
        search: whose penalty is added to the training loss, and whose curves to the logs of the loss.
        clock: keeps what evaluations on the way give.
    """

    def __init__(self, *, task: Task, search: Search | None, clock: TrainingClock, **trainer: Any) -> None:
        super().__init__(train_dataset=task.train, eval_dataset=task.evaluation, data_collator=task.collate, **trainer)
        self._clock = clock
        self.add_callback(clock)
        self._recipe_task = task
        self._search = search
        self._curves = None if search is None else SearchCurves(search)
        # The task's loss is a mean over the batch, which the Trainer divides by the accumulated batches.
        self.loss_is_scaled_for_ga = False

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The task's loss and the penalty."""
        loss = self._recipe_task.loss(model, inputs)
        return loss if self._search is None else loss + self._search.penalty()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Report the loss, and with it what the search watches."""
        if self._curves is not None and "loss" in logs:
            logs = {**logs, **self._curves.newest()}
        super().log(logs, start_time)

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[None, Tensor, None]:
        """The task's predictions alone."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            return None, self._recipe_task.predict(model, inputs), None

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """On the way, for the clock; training goes on as if nothing had been."""
        # The loader of the evaluation items would take from the random numbers of the next steps' dropout.
        with torch.random.fork_rng(), self._clock.evaluating(self.state.global_step) as metrics:
            metrics |= self.metrics()
        self.log({f"{metric_key_prefix}_{name}": value for name, value in metrics.items()})
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def metrics(self) -> dict[str, float]:
        """Evaluate on all evaluation items."""
        predictions = self.predict(self._recipe_task.evaluation).predictions  # type: ignore[arg-type]
        return self._recipe_task.metrics(predictions)  # type: ignore[arg-type]

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the weights under the model's own names.

        `save_pretrained` would write some families (ViT among them) under the names of older versions, which
        the Trainer does not translate back when it resumes. Of a model with adapters these alone change.
        """
        target = Path(output_dir or self.args.output_dir or ".")
        target.mkdir(parents=True, exist_ok=True)
        if self.args.should_save and has_adapters(self.model):
            write_adapters(self.model, target)
        elif self.args.should_save and self.model is not None:
            save_model(self.model, str(target / "model.safetensors"))
