"""What the metrics in result.json and summary.json are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METRICS = {
    "accuracy": "accuracy",
    "exact_match": "exact match",
    "f1": "F1",
    "matthews_correlation": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
}


def deciding_metric(result: Mapping[str, Any]) -> str:
    """The name of the metric that decides; results of versions that knew only one are accuracies."""
    return str(result.get("metric", "accuracy"))


def metric_title(name: str) -> str:
    """A metric's name for people."""
    return METRICS.get(name, name)
