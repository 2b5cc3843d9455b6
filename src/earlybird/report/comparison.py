"""Two runs of one task beside each other: what their networks reach, and in what their settings differ."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earlybird.errors import InputError
from earlybird.recipes.metric_names import deciding_metric, metric_title
from earlybird.report.finite import finite
from earlybird.report.networks import trained_networks
from earlybird.report.run import Run, read_run
from earlybird.report.training_cost import training_costs
from earlybird.report.verdict import chance_error, change, evaluation_examples

NAMES = ("A", "B")
# Of a recipe's data, what its networks are evaluated on.
_EVALUATED_ON = ("format", "config", "eval_split", "eval_limit")
# They say where a run lies, not what it does.
_PLACES = ("output", "name")


@dataclass(frozen=True)
class Comparison:
    """Two runs of one task; their summaries are there.

    Attributes:
        runs: A and B.
        headline: how their tickets differ, in one sentence.
        differences: key of the recipe -> its value in A and in B, where these are not the same.
        shared: per kind of units, what both tickets keep.
    """

    runs: tuple[Run, Run]
    headline: str
    differences: Mapping[str, tuple[object, object]]
    shared: Mapping[str, Shared]


@dataclass(frozen=True)
class Shared:
    """How many units A keeps, B keeps and both keep, and how many both would by chance, layer by layer."""

    kept: tuple[int, int]
    both: int
    by_chance: float


def compare_runs(first: Path, second: Path) -> Comparison:
    """Read two runs and compare them.

    Raises:
        InputError: one is no run, or has no results yet; both are the same one; they are of different tasks.
    """
    if first.resolve() == second.resolve():
        raise InputError(f"{first} and {second} are the same run: give two")
    runs = (read_run(first), read_run(second))
    for run in runs:
        if not trained_networks(run.summary or {}):
            why = run.missing.get("summary", "No network of it has been trained.").removesuffix(".")
            raise InputError(
                f"{run.root} has no results to compare ({why}): finish it by earlybird run {run.root / 'recipe.yaml'}"
            )
    judged = tuple(dict(_judged_on(run)) for run in runs)
    for what in judged[0]:
        ours, theirs = judged[0][what], judged[1][what]
        if ours != theirs:
            raise InputError(
                f"{first} and {second} are runs of different tasks ({what}: {reprlib.repr(ours)} and"
                f" {reprlib.repr(theirs)}), whose results cannot be compared: give two runs of one task"
            )
    return Comparison(runs, _headline(runs), _differences(runs), _shared(runs))


def _judged_on(run: Run) -> Iterator[tuple[str, object]]:
    """What has to be the same, so that results mean the same."""
    yield "task", run.recipe.get("task")
    data = run.recipe.get("data")
    data = data if isinstance(data, Mapping) else {}
    # The same data may lie in different folders on two machines.
    yield "data.source", Path(str(data.get("source") or "")).name
    for key in _EVALUATED_ON:
        yield f"data.{key}", data.get(key)
    summary = run.summary or {}
    yield "metric", deciding_metric(summary)
    yield "evaluation examples", evaluation_examples(summary)


def _headline(runs: tuple[Run, Run]) -> str:
    summaries = [run.summary or {} for run in runs]
    tickets = [trained_networks(summary).get("ticket") for summary in summaries]
    lacking = [name for name, ticket in zip(NAMES, tickets, strict=True) if ticket is None]
    if lacking:
        return (
            f"No comparison of tickets: {' and '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} trained none."
        )
    metric = deciding_metric(summaries[0])
    values = [finite((ticket or {}).get(metric)) for ticket in tickets]
    ours, theirs = values
    if ours is None or theirs is None:
        return f"No comparison of tickets: a {metric_title(metric)} is missing."
    parts = [f"The ticket of B is {_distance(theirs - ours, metric_title(metric))}"]
    examples = evaluation_examples(summaries[0])
    if examples is not None and 0 < abs(theirs - ours) < 2 * chance_error(ours, theirs, examples):
        parts[0] += " (within two standard errors)"
    costs = [training_costs(run).get("ticket") for run in runs]
    answers = [finite((ticket or {}).get("flops")) for ticket in tickets]
    for (a, b), what in ((costs, "training FLOPs (search included)"), (answers, "FLOPs per answer")):
        if a and b and a > 0 and b > 0:
            parts.append(change(b / a, what, "A"))
    return ", ".join(parts) + "."


def _distance(difference: float, title: str) -> str:
    points = round(difference, 1)
    if points == 0:
        return f"level with that of A in {title}"
    return f"{abs(points):.1f} points of {title} {'above' if points > 0 else 'below'} that of A"


def _differences(runs: tuple[Run, Run]) -> dict[str, tuple[object, object]]:
    ours, theirs = (dict(_flat(run.recipe)) for run in runs)
    return {
        key: (ours.get(key), theirs.get(key))
        for key in {**ours, **theirs}
        if key not in _PLACES and ours.get(key) != theirs.get(key)
    }


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shared(runs: tuple[Run, Run]) -> dict[str, Shared]:
    ours, theirs = (run.ticket for run in runs)
    if ours is None or theirs is None or ours.units != theirs.units:
        return {}
    shared: dict[str, Shared] = {}
    for kind, mask in ours.masks.items():
        if kind not in theirs.masks:
            continue
        kept = (ours.kept(kind), theirs.kept(kind))
        by_chance = sum(a * b / n for a, b, n in zip(*kept, ours.units[kind], strict=True) if n)
        shared[kind] = Shared((sum(kept[0]), sum(kept[1])), int((mask & theirs.masks[kind]).sum()), by_chance)
    return shared
