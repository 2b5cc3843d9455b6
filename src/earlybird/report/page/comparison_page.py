"""The page that shows two runs side by side."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earlybird.atomic_write import write_whole
from earlybird.errors import InputError
from earlybird.recipes.metric_names import deciding_metric, metric_title
from earlybird.report.amount import amount
from earlybird.report.comparison import NAMES, Comparison
from earlybird.report.page.cost_chart import cost_chart, points_of
from earlybird.report.page.document import document
from earlybird.report.page.frames import missing
from earlybird.report.page.markup import Markup, element, joined, scrollable, table
from earlybird.report.page.sections.outcome import FORWARD, NONE, outcome_table
from earlybird.report.training_cost import training_costs
from earlybird.report.verdict import verdict


def write_comparison(comparison: Comparison, target: Path) -> Path:
    """Write the page to `target`, and return that.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        write_whole(target, comparison_page(comparison))
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror}") from error
    return target


def comparison_page(comparison: Comparison) -> Markup:
    """The whole page; it has no script."""
    runs = comparison.runs
    content: list[Markup] = [element("h1", comparison.headline)]
    for name, run in zip(NAMES, runs, strict=True):
        told = [element("strong", f"{name}: {run.name}"), f" ({run.root}). ", _verdict(run.summary or {})]
        content.append(element("p", *told, class_="run"))
    content += [
        element("h2", "Outcome"),
        *_chart(comparison),
        _outcomes(comparison),
        element("h2", "Settings that differ"),
        _settings(comparison),
        element("h2", "What both tickets keep"),
        _kept(comparison),
    ]
    return document(f"{runs[0].name} and {runs[1].name}", content)


def _verdict(summary: Mapping[str, Any]) -> str:
    try:
        return verdict(summary)
    except InputError as error:
        return f"No verdict: {error}."


def _chart(comparison: Comparison) -> list[Markup]:
    points = []
    for name, run in zip(NAMES, comparison.runs, strict=True):
        summary = run.summary or {}
        points += points_of(summary, training_costs(run), name, hollow=name == NAMES[1])
    if not points:
        return [missing("The recipes or the summaries do not say what the trainings cost.")]
    title = metric_title(deciding_metric(comparison.runs[0].summary or {}))
    return [
        element("h3", f"{title[0].upper() + title[1:]} against the cost of training"),
        cost_chart(points, title, "FLOPs of the forward passes in training, search included", amount),
        element("p", "A has discs, B has rings; a line is one standard error up and down.", class_="caption"),
    ]


def _outcomes(comparison: Comparison) -> Markup:
    columns: list[object] = ["Quantity"]
    labels: dict[str, None] = {}
    sides: list[tuple[int, dict[str, list[object]]]] = []
    for name, run in zip(NAMES, comparison.runs, strict=True):
        (_, *headings), rows = outcome_table(run.summary or {}, training_costs(run))
        columns += [joined([name, heading], "\N{NO-BREAK SPACE}") for heading in headings]
        cells = {str(label): values for label, *values in rows}
        labels |= dict.fromkeys(cells)
        sides.append((len(headings), cells))
    rows = [
        [label, *itertools.chain(*(cells.get(label, [NONE] * width) for width, cells in sides))] for label in labels
    ]
    caption = (
        "What each network reaches and costs; small figures are the change against the dense network of its run."
        f" {FORWARD}"
    )
    return _wide(table(caption, columns, rows), "Table of outcomes, scrolls sideways")


def _settings(comparison: Comparison) -> Markup:
    if not comparison.differences:
        return element("p", "None: both recipes say the same.")
    rows = [
        [key, *(NONE if value is None else str(value) for value in pair)]
        for key, pair in comparison.differences.items()
    ]
    caption = f"Keys of the recipes with different values; {NONE} where a recipe says nothing."
    return _wide(table(caption, ["Setting", *NAMES], rows), "Table of settings, scrolls sideways")


def _kept(comparison: Comparison) -> Markup:
    if not comparison.shared:
        return missing("There are no two tickets for models of the same shape.")
    rows = [
        [kind.capitalize(), *(f"{count:,}" for count in (*each.kept, each.both)), f"{each.by_chance:,.0f}"]
        for kind, each in comparison.shared.items()
    ]
    caption = "Units that the drawn tickets keep; by chance so many would be in both, with as many kept in every layer."
    columns = ["Units", *(f"Kept by {name}" for name in NAMES), "By both", "By chance"]
    return _wide(table(caption, columns, rows), "Table of kept units, scrolls sideways")


def _wide(shown: Markup, label: str) -> Markup:
    return element("div", scrollable(shown, label), class_="outcomes")
