"""Many detectors asked about one record, without drawing a ticket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from earlybird.config import SearchConfig, replaced_pruning
from earlybird.detectors.comparison import Verdict, detect_each, every_detector
from earlybird.detectors.defaults import scored_by
from earlybird.errors import InputError
from earlybird.masks import UnitCosts
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import KINDS, MEASURES

ALL = "all"


def compare(source: Path, changes: Mapping[str, Any]) -> tuple[Trajectory, dict[str, Verdict]]:
    """What one detector, or all, say of a record, with their own default settings and what is given here.

    Args:
        source: a run's directory, whose recipe says what is pruned, or a trajectory's own.
        changes: fields of the config; `detector` may be "all", each then takes the settings that it has.

    Raises:
        InputError: a setting out of bounds, a ratio that is missing, scores that are not recorded or not finite.
    """
    name = changes.get("detector", ALL)
    costs: UnitCosts | None = None
    others = {key: value for key, value in changes.items() if key != "detector"}
    if (source / "trajectory.json").is_file():
        trajectory = Trajectory.open(source)
        config = config_for_record(source, others)
    else:
        # Imports torch, which a record does not need.
        from earlybird.recipes.stages.job import Job

        job = Job.open(source)
        trajectory = Trajectory.open(job.files.trajectory)
        # The recipe's spans are those of its own detector.
        recipe = job.recipe.search_config.with_detector(None)
        config = replace(recipe, **replaced_pruning(recipe, others))
        if config.budget is not None:
            model = job.initial_model()
            costs = job.unit_costs(model, job.anatomy(model), config)
    asked = config if name == ALL else replace(config, detector=name)
    asked = replace(asked, score=scored_by(asked, trajectory.shape.channels))  # all by one
    configs = every_detector(asked) if name == ALL else {name: asked}
    return trajectory, detect_each(trajectory, configs, costs)


def config_for_record(source: Path, settings: Mapping[str, Any]) -> SearchConfig:
    """The config for a trajectory that stands by itself: what is given, nothing else pruned, the rest by default.

    Raises:
        InputError: there is no ratio, or a value is out of bounds.
    """
    if not {*KINDS, *MEASURES} & set(settings):
        raise InputError(
            f"{source} is a trajectory without a recipe: give a ratio (--heads, --neurons, --experts), or a budget"
        )
    return SearchConfig(**settings)
