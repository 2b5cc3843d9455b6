"""What all stages of a run share: its recipe, its directory, its data."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import PartialState
from transformers import PreTrainedModel

from earlybird.anatomy import Anatomy
from earlybird.anatomy.flops import forward_flops, parameter_count
from earlybird.atomic_write import may_begin_in, write_whole
from earlybird.checkpoint.load import load
from earlybird.config import PruningConfig
from earlybird.detectors.detection import Detection
from earlybird.errors import InputError
from earlybird.latency import unit_costs
from earlybird.masks import UnitCosts
from earlybird.recipes.adapters import has_adapters, merged, save_with_adapters, with_adapters
from earlybird.recipes.former_names import todays_recipe, written_recipe
from earlybird.recipes.plain_yaml import read_yaml
from earlybird.recipes.recipe_file import validated
from earlybird.recipes.run_directory import RESULT, RunDirectory, replace_directory, write_json
from earlybird.recipes.settings import Recipe
from earlybird.recipes.tasks import task_of
from earlybird.recipes.tasks.base import Task
from earlybird.recipes.training import Outcome, discard_checkpoints, planned_steps, steps_per_epoch

# What may change between two calls on one directory: it adds stages or lets them go on, and touches no finished one.
_ADDITIVE = (
    {"dense"},
    {"dense_matched"},
    {"random"},
    {"retraining", "weights"},
    {"search", "unsettled"},
    {"training", "tensorboard"},
)


class Job:
    """A run in its directory.

    Args:
        recipe: the settings.
        root: the run's directory.
    """

    def __init__(self, recipe: Recipe, root: Path) -> None:
        self.recipe = recipe
        self.files = RunDirectory(root)

    @classmethod
    def begin(cls, recipe: Recipe, *, force: bool = False) -> Job:
        """Open the recipe's output directory for a run, new or to be gone on with.

        Args:
            recipe: the settings.
            force: remove what an earlier run left there, and nothing else.

        Raises:
            InputError: the directory holds something else, or a run of other settings; with `force`, a detector that
                cannot work.
        """
        root = Path(recipe.output)
        job = cls(recipe, root)
        if job._holds_run() and force:
            # What cannot run must not cost what is there.
            job.check_detector(job.task.initial_model())
            job.files.clear()
        elif job._holds_run():
            # Through the settings, so that a key that is new since then has its default on both sides.
            before = validated(_read_written(job.files.recipe), str(job.files.recipe)).model_dump(mode="json")
            changed = sorted(differences(before, recipe.model_dump(mode="json")))
            if changed:
                raise InputError(
                    f"{root} holds a run of other settings ({', '.join(changed[:5])} differ); choose another"
                    " directory with output=DIR, or start anew with --force"
                )
        elif not may_begin_in(root, job.files.recipe):
            raise InputError(f"{root} exists and holds no run of earlybird; choose another directory with output=DIR")
        job.write_recipe()
        return job

    @classmethod
    def open(cls, root: Path) -> Job:
        """Open a run that was begun.

        Raises:
            InputError: the directory holds no run.
        """
        files = RunDirectory(root)
        if not files.recipe.is_file():
            raise InputError(f"{root} is no run's directory: there is no recipe.yaml in it")
        return cls(validated(_read_written(files.recipe), str(files.recipe)), root)

    def write_recipe(self) -> None:
        """Write the settings into the run's directory."""
        write_whole(self.files.recipe, _dumped(self.recipe))

    def check_detector(self, model: PreTrainedModel) -> None:
        """Raise InputError if the recipe's detector cannot work in a run of its length, before anything is trained."""
        training, config, anatomy = self.recipe.training, self.recipe.search_config, self.anatomy(model)
        Detection(
            config,
            anatomy,
            total_steps=planned_steps(self.task, training),
            steps_per_epoch=steps_per_epoch(self.task, training),
            costs=self.unit_costs(model, anatomy, config),
        )

    def unit_costs(self, model: PreTrainedModel, anatomy: Anatomy, config: PruningConfig) -> UnitCosts | None:
        """What the units of the initial model cost by a budget, or None without one.

        For milliseconds the model is moved to where it trains: what they are elsewhere is another question.
        """
        if config.budget is None:
            return None
        if config.milliseconds is not None:
            torch.nn.Module.to(model, PartialState().device)
        return unit_costs(model, anatomy, config)

    def anatomy(self, model: PreTrainedModel | None = None) -> Anatomy:
        """The blocks of the initial model that the recipe prunes.

        Args:
            model: the initial model, where it is at hand.
        """
        return Anatomy.of(self.initial_model() if model is None else model, exclude=self.recipe.search.exclude)

    @cached_property
    def task(self) -> Task:
        """The recipe's task, whose data are read once."""
        return task_of(self.recipe)

    def initial_model(self) -> PreTrainedModel:
        """The model before any training; made by the first stage that asks, read by the others."""
        if not self.files.initial.is_dir():
            making = self.files.initial.with_name("initial.tmp")
            self.save(self.task.initial_model(), making)
            replace_directory(making, self.files.initial)
        return load(self.files.initial)

    def to_train(self, model: PreTrainedModel) -> PreTrainedModel:
        """What trains of a model: itself, or the adapters on it, which it gets now if it has none."""
        lora = self.task.lora
        return model if lora is None or has_adapters(model) else with_adapters(model, lora, self.recipe.seed)

    def save(self, model: PreTrainedModel, directory: Path) -> None:
        """Write a model with what its task needs besides the weights, and the adapters on it."""
        save_with_adapters(model, directory)
        self.task.save_companions(directory)

    def costs(self, model: PreTrainedModel) -> dict[str, int]:
        """Parameters, and FLOPs of one forward pass of one example."""
        return {"parameters": parameter_count(model), "flops": forward_flops(model, self.task.example_inputs())}

    def write_trained(self, model: PreTrainedModel, outcome: Outcome, directory: Path) -> None:
        """Write a trained model and what its training gave, with what it costs; the result last, as a seal.

        Adapters are merged into the weights, so that a plain model is what comes out.
        """
        model = merged(model)
        making = directory / "model.tmp"
        self.save(model, making)
        replace_directory(making, directory / "model")
        write_json(directory / RESULT, {**outcome.as_json(), **self.costs(model)})
        discard_checkpoints(directory)

    def _holds_run(self) -> bool:
        """Whether the recipe in the directory was written by a run: a person may keep one of the same name there."""
        path = self.files.recipe
        if not path.is_file():
            return False
        if any(stage.exists() for stage in self.files.stages):
            return True
        try:
            return path.read_text(encoding="utf-8") == _dumped(validated(_read_written(path), str(path)))
        except (InputError, UnicodeDecodeError):
            return False


def _dumped(recipe: Recipe) -> str:
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def _read_written(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged: it holds no settings")
    return written_recipe(todays_recipe(content))


def differences(before: Any, now: Any, path: tuple[str, ...] = ()) -> list[str]:
    """The keys in which two dumped recipes differ, but for those that may change within one run's directory."""
    if set(path) in _ADDITIVE or before == now:
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(before.keys() | now.keys())
        return [d for key in keys for d in differences(before.get(key), now.get(key), (*path, key))]
    return [".".join(path)]
