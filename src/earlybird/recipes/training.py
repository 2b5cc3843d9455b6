"""One training of a recipe: dense, searching or pruned, resumed from its last whole checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback, TrainingArguments

from earlybird.errors import JobError
from earlybird.integrations.trainer import SEARCH_STATE
from earlybird.recipes.augmentation import Augmentation
from earlybird.recipes.clock import CLOCK, TrainingClock
from earlybird.recipes.data import ImageData
from earlybird.recipes.images import ImageTrainer
from earlybird.recipes.optimizer_state import load_optimizer_state
from earlybird.recipes.progress import ProgressBar
from earlybird.recipes.schedule import Schedule
from earlybird.recipes.settings import Recipe, TrainingSettings
from earlybird.search import Search


@dataclass(frozen=True)
class Outcome:
    """What a training gave: accuracy in percent on so many evaluation examples, seconds, steps."""

    accuracy: float
    examples: int
    seconds: float
    steps: int


def steps_per_epoch(data: ImageData, settings: TrainingSettings) -> int:
    """Optimizer steps of an epoch; the last batch may be smaller."""
    return -(-len(data.train) // settings.batch_size)


def planned_steps(data: ImageData, settings: TrainingSettings) -> int:
    """Optimizer steps of the whole training."""
    return max(1, round(settings.epochs * steps_per_epoch(data, settings)))


def schedule_of(data: ImageData, settings: TrainingSettings, offset: int = 0) -> Schedule:
    """The learning rate's schedule, of which `offset` steps lie behind."""
    return Schedule(
        settings.schedule,
        planned_steps(data, settings),
        round(settings.warmup_epochs * steps_per_epoch(data, settings)),
        settings.final_learning_rate / settings.learning_rate,
        offset,
    )


def optimizer_for(model: PreTrainedModel, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimizer of a recipe over all parameters of a model."""
    parameters = model.parameters()
    if settings.optimizer == "adam":
        return torch.optim.Adam(parameters, settings.learning_rate, weight_decay=settings.weight_decay)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, settings.learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(parameters, settings.learning_rate, momentum=0.9, weight_decay=settings.weight_decay)


def last_whole_checkpoint(directory: Path, *, searching: bool) -> Path | None:
    """The newest checkpoint that was written to its end, or None."""
    last = SEARCH_STATE if searching else CLOCK
    whole = [
        path
        for path in directory.glob("checkpoint-*")
        if (path / "trainer_state.json").is_file() and (path / CLOCK).is_file() and (path / last).is_file()
    ]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def train(
    recipe: Recipe,
    settings: TrainingSettings,
    data: ImageData,
    model: PreTrainedModel,
    directory: Path,
    *,
    stage: str,
    schedule: Schedule,
    steps: int,
    optimizer_state: Mapping[str, Mapping[str, Tensor]] | None = None,
    attach: Callable[[Path | None], tuple[Search, TrainerCallback]] | None = None,
) -> Outcome:
    """Train a model in place for `steps` steps, evaluate it, and leave nothing of the checkpoints.

    Args:
        recipe: gives the seed and the augmentation.
        settings: of this training.
        data: images to train on and to evaluate with.
        model: trained in place.
        directory: checkpoints are kept below it while the training runs.
        stage: what the progress bar is called.
        schedule: of the learning rate.
        steps: optimizer steps, if nothing stops it earlier.
        optimizer_state: by parameter name, to continue with.
        attach: makes a search on the model, once it is on its device, from a checkpoint or anew (None), and
            the callback that drives it.

    Raises:
        JobError: the loss is not finite any more.
    """
    checkpoints = directory / "checkpoints"
    checkpoint = last_whole_checkpoint(checkpoints, searching=attach is not None)
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.eval_batch_size,
        max_grad_norm=settings.max_gradient_norm,
        bf16=settings.mixed_precision == "bf16",
        seed=recipe.seed,
        data_seed=recipe.seed,
        save_strategy="steps",
        save_steps=settings.checkpoint_every.steps(steps, steps_per_epoch(data, settings)),
        save_total_limit=2,
        logging_strategy="steps",
        logging_steps=max(1, steps // 100),
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=[],
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    torch.nn.Module.to(model, arguments.device)
    optimizer = optimizer_for(model, settings)
    if optimizer_state is not None:
        load_optimizer_state(optimizer, model, optimizer_state)
    search, callbacks = None, []
    if attach is not None:
        search, callback = attach(None if checkpoint is None else checkpoint / SEARCH_STATE)
        callbacks.append(callback)
    clock, bar = TrainingClock(checkpoint), ProgressBar(stage, search)
    augmentation = Augmentation(recipe.augmentation, data.mean, data.std, len(data.labels), settings.label_smoothing)
    trainer = ImageTrainer(
        model=model,
        args=arguments,
        data=data,
        augmentation=augmentation,
        penalty=None if search is None else search.penalty,
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)),
        callbacks=[*callbacks, clock, bar, FiniteLoss()],
    )
    trainer.remove_callback(PrinterCallback)
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        seconds = clock.seconds
        metrics: dict[str, Any] = trainer.evaluate()
    finally:
        bar.stop()
    done = trainer.state.global_step
    shutil.rmtree(checkpoints, ignore_errors=True)
    return Outcome(metrics["eval_accuracy"], len(data.evaluation), seconds, done)


class FiniteLoss(TrainerCallback):
    """Ends a training whose loss is not finite any more."""

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at the newest loss."""
        loss = kwargs["logs"].get("loss")
        if loss is not None and not torch.isfinite(torch.tensor(float(loss))):
            raise JobError(
                f"the loss is not finite at step {state.global_step}: the training has diverged; lower the"
                " learning rate (the last good checkpoint is kept)"
            )
