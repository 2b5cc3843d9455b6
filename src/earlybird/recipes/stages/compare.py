"""Ask many detectors about one record, without drawing a ticket."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earlybird.detectors.comparison import Verdict, detect_each
from earlybird.detectors.expression import choice_of
from earlybird.detectors.presets import DETECTORS
from earlybird.detectors.settings import SETTING_NAMES, Choice, ChosenSettings
from earlybird.errors import InputError
from earlybird.recipes.changed_settings import changed_settings, settings_for_record
from earlybird.recipes.stages.job import Job
from earlybird.trajectory import Trajectory

ALL = "all"


def compare(source: Path, changes: Mapping[str, Any]) -> tuple[Trajectory, dict[str, Verdict]]:
    """What one detector, or all, say of a record, with their own default settings and what is given here.

    Args:
        source: a run's directory, whose recipe says what is pruned, or a trajectory's own.
        changes: of the detector's settings; `detector` may be "all", each then takes the settings that it has.

    Raises:
        InputError: a setting out of bounds, a ratio that is missing, scores that are not recorded or not finite.
    """
    name = changes.get("detector", ALL)
    others = {key: value for key, value in changes.items() if key != "detector"}
    if (source / "trajectory.json").is_file():
        trajectory = Trajectory.open(source)
        settings = settings_for_record(source, others)
    else:
        job = Job.open(source)
        trajectory = Trajectory.open(job.files.trajectory)
        # The recipe's spans are those of its own detector.
        settings = changed_settings(job.recipe.search, {**dict.fromkeys(SETTING_NAMES), **others})
    chosen = ChosenSettings(**{key: getattr(settings, key) for key in SETTING_NAMES})
    choices = {name: choice_of(name, chosen)} if name != ALL else _all_choices(chosen)
    verdicts = detect_each(
        trajectory, choices, settings.prunings(trajectory.shape), score=settings.score, joint=settings.joint
    )
    return trajectory, verdicts


def _all_choices(chosen: ChosenSettings) -> dict[str, Choice]:
    if chosen.threshold is not None:
        raise InputError("threshold cannot be set for all detectors at once: they compare different things")
    return {name: choice_of(name, chosen.restricted(DETECTORS[name])) for name in DETECTORS}
