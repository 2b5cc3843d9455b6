"""What the trainings of a run cost by its recipe's batches, so that two runs can be compared."""

from __future__ import annotations

from collections.abc import Mapping

from earlybird.report.finite import finite
from earlybird.report.networks import trained_networks
from earlybird.report.run import Run
from earlybird.report.training_flops import training_flops


def training_costs(run: Run) -> dict[str, float | None]:
    """FLOPs of all forward passes in each network's training, the search's counted in, by its key in the summary.

    A backward pass takes twice as many, of every network. None where the recipe or the summary lacks a number.
    """
    training = run.recipe.get("training")
    batch = finite(training.get("batch_size")) if isinstance(training, Mapping) else None
    summary = run.summary or {}
    each = {key: training_flops(summary, key) for key in trained_networks(summary)}
    return {key: None if flops is None or batch is None else batch * flops for key, flops in each.items()}
