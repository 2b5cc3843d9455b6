"""The trained networks of a run, as its summary tells of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from earlybird.report.finite import finite

# Key in summary.json -> what to call it; the order in which they are shown.
NETWORKS = {
    "dense": "Dense",
    "dense_matched": "Dense, same FLOPs",
    "ticket": "Ticket",
    "random": "Random ticket",
    "ticket_continued": "Ticket, continued",
    "random_continued": "Random, continued",
}


def trained_networks(summary: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The entries of those that were trained."""
    return {key: summary[key] for key in NETWORKS if isinstance(summary.get(key), Mapping)}


def network_name(key: str, entry: Mapping[str, Any]) -> str:
    """What to call a network; a start other than its key says is added."""
    return "Ticket, continued" if entry.get("start") == "continue" and key == "ticket" else NETWORKS[key]


def standard_error(entry: Mapping[str, Any], metric: str, examples: int | None) -> float:
    """Of a proportion in percent over `examples`, in points; 0 where it cannot be told."""
    value = finite(entry.get(metric))
    if value is None or examples is None or not 0 <= value <= 100:
        return 0.0
    return 100 * math.sqrt(value / 100 * (1 - value / 100) / examples)
