"""What the networks of a run took to train, in seconds: those of its own processes on the CPU, where all know them.

By the clock, two trainings that ran at different times compare only where the machine did nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from earlybird.config import is_number

Unit = Literal["cpu_seconds", "seconds"]
NAMES: Mapping[Unit, str] = {"cpu_seconds": "CPU seconds", "seconds": "seconds"}


def training_seconds(entry: Mapping[str, Any], unit: Unit) -> float | None:
    """Of a network's training, the search for it counted in.

    Args:
        entry: of the network, in summary.json.
        unit: by the clock, or of its own processes on the CPU.

    Returns:
        None where a number is missing, or is none.
    """
    names = [f"train_{unit}", *([f"search_{unit}"] if "search_seconds" in entry else [])]
    seconds: list[Any] = [entry.get(name) for name in names]
    return math.fsum(seconds) if all(is_number(each) for each in seconds) else None


def common_unit(entries: Iterable[Mapping[str, Any]]) -> Unit:
    """By which seconds all of some networks can be compared."""
    return "seconds" if any(training_seconds(entry, "cpu_seconds") is None for entry in entries) else "cpu_seconds"
