"""Other settings for one command, checked as the recipe's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from earlybird.errors import InputError
from earlybird.recipes.reading import first_problem
from earlybird.recipes.settings import DetectorSettings


def changed_settings(settings: DetectorSettings, changes: Mapping[str, Any]) -> DetectorSettings:
    """Detector settings with some of them changed.

    Raises:
        InputError: a value out of bounds.
    """
    try:
        return type(settings).model_validate({**settings.model_dump(), **changes})
    except ValidationError as error:
        raise InputError(first_problem(error, type(settings))) from error


def settings_for_record(source: Path, changes: Mapping[str, Any]) -> DetectorSettings:
    """Settings for a trajectory that stands by itself: what is given, nothing else pruned, the rest by default.

    Raises:
        InputError: there is no ratio, or a value is out of bounds.
    """
    if not {"heads", "neurons"} & set(changes):
        raise InputError(f"{source} is a trajectory without a recipe: give --heads, --neurons or both")
    return changed_settings(DetectorSettings(heads=0.5, neurons=0.5), {"heads": 0, "neurons": 0, **changes})
