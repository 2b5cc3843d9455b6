"""What the metrics in result.json and summary.json are called."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from earlybird.errors import InputError

# Those that may decide: in percent, the more the better.
METRICS = {
    "accuracy": "accuracy",
    "exact_match": "exact match",
    "f1": "F1",
    "matthews_correlation": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "token_accuracy": "token accuracy",
}

# What is told beside them: no percentages, the less the better.
LOSSES = {"perplexity": "perplexity"}


def deciding_metric(result: Mapping[str, Any]) -> str:
    """The name of the metric that decides; results of versions that knew only one are accuracies.

    Raises:
        InputError: it is none of `METRICS`.
    """
    name = result.get("metric", "accuracy")
    if not isinstance(name, str) or name not in METRICS:
        raise InputError(f"there is no metric {reprlib.repr(name)}; known are {', '.join(METRICS)}")
    return name


def metric_title(name: str) -> str:
    """A metric's name for people."""
    return METRICS.get(name, name)
