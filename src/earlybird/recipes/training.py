"""One training of a recipe: dense, searching or pruned, resumed from its last whole checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback, TrainingArguments

from earlybird.errors import InputError, JobError
from earlybird.extras import require
from earlybird.integrations.search_callback import SEARCH_STATE
from earlybird.recipes.clock import CLOCK, TrainingClock
from earlybird.recipes.optimizer_state import load_optimizer_state
from earlybird.recipes.progress import ProgressBar
from earlybird.recipes.schedule import Schedule
from earlybird.recipes.settings import Recipe, TrainingSettings
from earlybird.recipes.tasks.base import Metric, Task
from earlybird.recipes.trainer import RecipeTrainer
from earlybird.search.search import Search

_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Outcome:
    """What a training gave: metrics in percent on so many examples, seconds, steps, evaluations on the way.

    `cpu_seconds` are those that its own processes kept a core busy, None where a device trained it. `other_cores` are
    the machine's that other processes kept busy meanwhile, on average, `cores` all that it has.
    `notes` are sentences on the data that a reader of the results should know.
    """

    metric: Metric
    metrics: dict[str, float]
    examples: int
    seconds: float
    cpu_seconds: float | None
    steps: int
    other_cores: float
    cores: int
    evaluations: list[dict[str, float]]
    notes: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values: every metric by its name, and in `metric` the name of the one that decides."""
        return {
            "metric": self.metric.name,
            "metric_per_example": self.metric.per_example,
            **self.metrics,
            "examples": self.examples,
            "seconds": self.seconds,
            **({} if self.cpu_seconds is None else {"cpu_seconds": self.cpu_seconds}),
            "steps": self.steps,
            "other_cores": self.other_cores,
            "cores": self.cores,
            # A path may hold bytes that are no character, which no reader of the file would take.
            "notes": [note.encode(errors="backslashreplace").decode() for note in self.notes],
            **({"evaluations": self.evaluations} if self.evaluations else {}),
        }


def steps_per_epoch(task: Task, settings: TrainingSettings) -> int:
    """Optimizer steps of an epoch; the last batch may be smaller."""
    return -(-len(task.train) // settings.batch_size)


def planned_steps(task: Task, settings: TrainingSettings) -> int:
    """Optimizer steps of the whole training."""
    return max(1, round(settings.epochs * steps_per_epoch(task, settings)))


def schedule_of(task: Task, settings: TrainingSettings, offset: int = 0) -> Schedule:
    """The learning rate's schedule, of which `offset` steps lie behind."""
    return Schedule(
        settings.schedule,
        planned_steps(task, settings),
        round(settings.warmup_epochs * steps_per_epoch(task, settings)),
        settings.final_learning_rate / settings.learning_rate,
        offset,
    )


def optimizer_for(model: PreTrainedModel, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimizer of a recipe over what trains of a model, as one fused kernel, on a CPU the fastest by far."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adam":
        return torch.optim.Adam(parameters, rate, weight_decay=decay, fused=True)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(parameters, rate, momentum=0.9, weight_decay=decay, fused=True)


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
    task: Task,
    model: PreTrainedModel,
    directory: Path,
    *,
    stage: str,
    schedule: Schedule,
    steps: int,
    optimizer_state: Mapping[str, Mapping[str, Tensor]] | None = None,
    attach: Callable[[Path | None], tuple[Search, TrainerCallback]] | None = None,
) -> Outcome:
    """Train a model in place for `steps` steps and evaluate it; `discard_checkpoints` when the outcome is written.

    Args:
        recipe: gives the seed.
        settings: of this training.
        task: what to train on, by which loss, and how to evaluate.
        model: trained in place.
        directory: checkpoints are kept below it while the training runs.
        stage: what the progress bar is called.
        schedule: of the learning rate.
        steps: optimizer steps, if nothing stops it earlier.
        optimizer_state: by parameter name, to continue with.
        attach: makes a search on the model, once it is on its device, from a checkpoint or anew (None), and
            the callback that drives it.

    Raises:
        InputError: there are several processes, or several GPUs in this one; or an image cannot be decoded.
        JobError: the loss is not finite any more.
    """
    checkpoints = directory / _CHECKPOINTS
    checkpoint = last_whole_checkpoint(checkpoints, searching=attach is not None)
    evaluate_every = None
    if settings.evaluate_every is not None:
        evaluate_every = settings.evaluate_every.steps(steps, steps_per_epoch(task, settings))
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.eval_batch_size,
        max_grad_norm=settings.max_gradient_norm,
        bf16=settings.mixed_precision == "bf16",
        # Said outright, because transformers otherwise refuses bfloat16 on a CPU.
        use_cpu=not torch.accelerator.is_available(),
        seed=recipe.seed,
        data_seed=recipe.seed,
        save_strategy="steps",
        save_steps=settings.checkpoint_every.steps(steps, steps_per_epoch(task, settings)),
        save_total_limit=2,
        eval_strategy="no" if evaluate_every is None else "steps",
        eval_steps=evaluate_every,
        logging_strategy="steps",
        logging_steps=max(1, steps // 100),
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=[],
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        dataloader_num_workers=settings.workers,
    )
    if arguments.world_size > 1 or arguments.n_gpu > 1:
        raise InputError(
            f"a recipe trains in one process on one device, got {arguments.world_size} processes and {arguments.n_gpu}"
            " GPUs: set CUDA_VISIBLE_DEVICES=0, or search in your own loop or with the Trainer, see"
            " docs/several-processes.md"
        )
    if checkpoint is None:
        task.check_evaluation()
    torch.nn.Module.to(model, arguments.device)
    optimizer = optimizer_for(model, settings)
    if optimizer_state is not None:
        load_optimizer_state(optimizer, model, optimizer_state)
    search, callbacks = None, []
    if attach is not None:
        search, callback = attach(None if checkpoint is None else checkpoint / SEARCH_STATE)
        callbacks.append(callback)
    clock, bar = TrainingClock(checkpoint), ProgressBar(stage, search)
    trainer = RecipeTrainer(
        model=model,
        args=arguments,
        task=task,
        search=search,
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)),
        clock=clock,
        callbacks=[*callbacks, *_live(settings, directory, checkpoint), bar, FiniteLoss(), NoCheckpointAtTheEnd()],
    )
    trainer.remove_callback(PrinterCallback)
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        seconds, other_cores = clock.seconds, clock.work.other_cores
        # What the host does while a device trains says little of what the training costs.
        cpu_seconds = None if torch.accelerator.is_available() else clock.cpu_seconds
        metrics = trainer.metrics()
    except InputError as error:
        raise InputError(_own_sentence(error)) from error
    finally:
        bar.stop()
    done = trainer.state.global_step
    return Outcome(
        task.metric,
        metrics,
        task.evaluation_examples,
        seconds,
        cpu_seconds,
        done,
        other_cores,
        clock.work.cores,
        clock.evaluations,
        task.notes,
    )


def discard_checkpoints(directory: Path) -> None:
    """Remove the checkpoints of a training whose outcome is written."""
    shutil.rmtree(directory / _CHECKPOINTS, ignore_errors=True)


def _own_sentence(error: InputError) -> str:
    """The message as it was raised: a loader's worker process sends its traceback along."""
    if not str(error).startswith(f"Caught {InputError.__name__} in DataLoader worker"):
        return str(error)
    return str(error).rpartition(f"{InputError.__module__}.{InputError.__qualname__}: ")[2]


def _live(settings: TrainingSettings, directory: Path, checkpoint: Path | None) -> list[TrainerCallback]:
    """What shows a training from outside while it runs."""
    if not settings.tensorboard:
        return []
    require("tensorboard", extra="tensorboard", what="training.tensorboard")
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    # What was logged after the checkpoint comes again.
    again = 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2]) + 1
    return [TensorBoardCallback(SummaryWriter(str(directory / "tensorboard"), purge_step=again))]


class NoCheckpointAtTheEnd(TrainerCallback):
    """Saves nothing at the step that ends a training: from there the Trainer might go on by one step more."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take back what was decided before."""
        if control.should_training_stop:
            control.should_save = False


class FiniteLoss(TrainerCallback):
    """Ends a training whose loss is not finite any more, before a checkpoint is written that holds nothing good."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at the weights that are about to be saved: losses are logged at other steps."""
        # One norm of all is a tenth of the time that a look at each number takes.
        if control.should_save and not torch.nn.utils.get_total_norm(kwargs["model"].parameters()).isfinite():
            raise JobError(_diverged("weights are", state.global_step))

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at the newest loss; at the end, at the mean of all, which the steps after the last log are part of."""
        loss = kwargs["logs"].get("loss", kwargs["logs"].get("train_loss"))
        if loss is not None and not torch.isfinite(torch.tensor(float(loss))):
            raise JobError(_diverged("loss is", state.global_step))


def _diverged(what: str, step: int) -> str:
    return (
        f"the {what} not finite at step {step}: the training has diverged; lower the learning rate (the last good"
        " checkpoint is kept)"
    )
