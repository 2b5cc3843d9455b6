"""What the networks of a run took to train, in FLOPs, which no other work on the machine changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from earlybird.report.finite import finite


def training_flops(summary: Mapping[str, Any], key: str) -> float | None:
    """Forward FLOPs times steps; of what was searched for or continues from its draw, the dense steps up to there, too.

    A backward pass takes twice a forward one's, of every network, so that ratios are those of the whole training.

    Args:
        summary: the content of summary.json.
        key: of the network there.

    Returns:
        None where a number is missing, or is none.
    """
    steps, flops = _number(summary, key, "train_steps"), _number(summary, key, "flops")
    if steps is None or flops is None:
        return None
    if not key.startswith("ticket") and not (key.startswith("random") and summary[key].get("start") == "continue"):
        return steps * flops
    drawn, whole = _number(summary, "ticket", "draw_step"), _number(summary, "dense", "flops")
    return None if drawn is None or whole is None else steps * flops + (drawn + 1) * whole


def _number(summary: Mapping[str, Any], key: str, name: str) -> float | None:
    entry = summary.get(key)
    return finite(entry.get(name)) if isinstance(entry, Mapping) else None
