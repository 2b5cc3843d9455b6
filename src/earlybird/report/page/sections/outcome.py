"""The section on what was trained: a table of dense, ticket and random ticket beside one another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from earlybird.recipes.metric_names import LOSSES, METRICS, deciding_metric, metric_title
from earlybird.recipes.run_directory import notes_in
from earlybird.report.amount import amount, percent
from earlybird.report.finite import finite
from earlybird.report.page.frames import missing
from earlybird.report.page.markup import Markup, element, html, joined, scrollable, table
from earlybird.report.run import Run
from earlybird.report.training_flops import training_flops
from earlybird.report.verdict import evaluation_examples

# Key in summary.json -> heading; the order of the columns.
_NETWORKS = {
    "dense": "Dense",
    "ticket": "Ticket",
    "random": "Random ticket",
    "ticket_continued": "Ticket, continued",
    "random_continued": "Random, continued",
}
NONE = "\N{EN DASH}"


def outcome(run: Run) -> list[Markup]:
    """The section's parts."""
    if run.summary is None:
        return [missing(run.missing["summary"])]
    parts = [element("div", _table(run.summary), class_="outcomes")]
    if "dense" not in run.summary:
        parts.append(missing("No dense network was trained, so there is nothing to compare with."))
    if "random" not in run.summary:
        parts.append(missing("No random ticket was trained, so the ticket's choice of units is not put to the test."))
    parts += [element("p", f"On the data: {note}.") for note in notes_in(run.summary)]
    return parts


def _table(summary: Mapping[str, Any]) -> Markup:
    """The table, one column per network that was trained; a number that is not there is a dash."""
    entries = {key: summary[key] for key in _NETWORKS if isinstance(summary.get(key), Mapping)}
    dense = entries.get("dense")

    def row(label: str, value: Callable[[str], float | None], write: Callable[[float], str], kind: str) -> list[object]:
        reference = value("dense") if dense is not None else None
        cells: list[object] = [label]
        for key in entries:
            number = value(key)
            if number is None:
                cells.append(NONE)
                continue
            change = None if key == "dense" or reference is None else _change(number, reference, kind)
            cells.append(
                joined([write(number), element("span", change, class_="change")], " ") if change else write(number)
            )
        return cells

    def plain(field: str) -> Callable[[str], float | None]:
        return lambda key: finite(entries[key].get(field)) if key in entries else None

    def searching(key: str) -> float | None:
        return finite(entries[key].get("search_seconds")) if key.startswith("ticket") else None

    def spent(key: str) -> float | None:
        training = finite(entries[key].get("train_seconds"))
        return None if training is None else training + (searching(key) or 0.0)

    columns: list[object] = ["Quantity", *(_heading(key, entries[key]) for key in entries)]
    rows = [
        *(
            row(title[0].upper() + title[1:], plain(name), lambda value: f"{value:.1f}%", "points")
            for name, title in METRICS.items()
            if any(name in entry for entry in entries.values())
        ),
        *(
            row(title[0].upper() + title[1:], plain(name), lambda value: f"{value:,.2f}", "share")
            for name, title in LOSSES.items()
            if any(name in entry for entry in entries.values())
        ),
        row("Training FLOPs, search included", lambda key: training_flops(summary, key), amount, "share"),
        row("FLOPs per answer", plain("flops"), amount, "share"),
        row("Parameters", plain("parameters"), amount, "share"),
        row("Search", searching, _seconds, "none"),
        row("Training", plain("train_seconds"), _seconds, "none"),
        row("Search and training", spent, _seconds, "share"),
        row("Training steps", plain("train_steps"), lambda value: f"{value:,.0f}", "none"),
        row("Drawn at step", _of_tickets(entries, "draw_step"), lambda value: f"{value:,.0f}", "none"),
        row("Share of search", _of_tickets(entries, "draw_fraction"), percent, "none"),
    ]
    return scrollable(table(_caption(summary, entries), columns, rows), "Table of outcomes, scrolls sideways")


def _of_tickets(entries: Mapping[str, Mapping[str, Any]], field: str) -> Callable[[str], float | None]:
    return lambda key: finite(entries[key].get(field)) if key.startswith("ticket") else None


def _heading(key: str, entry: Mapping[str, Any]) -> Markup:
    """The network's name with its colour; a start other than its name says is added."""
    name = _NETWORKS[key]
    if entry.get("start") == "continue" and key == "ticket":
        name = "Ticket, continued"
    return joined(
        [element("span", "\N{BLACK CIRCLE}", class_=f"dot {key.split('_')[0]}", aria_hidden="true"), name],
        "\N{NO-BREAK SPACE}",
    )


def _caption(summary: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]]) -> Markup:
    parts = ["What each network reaches and costs; small figures are the change against dense."]
    examples = evaluation_examples(summary)
    metric = deciding_metric(summary)
    title = metric_title(metric)
    first = next((finite(entry.get(metric)) for entry in entries.values()), None)
    if examples is not None and first is not None and 0 <= first <= 100:
        error = 100 * math.sqrt(first / 100 * (1 - first / 100) / examples)
        parts.append(
            f"{title[0].upper() + title[1:]} is over {examples:,} evaluation examples: one standard error is"
            f" {'at most ' if metric == 'f1' else ''}{error:.1f} points."
        )
    if "random" in entries:
        parts.append(
            "The random ticket has the drawn ticket's shape, its units chosen by chance; the search that found the"
            " shape is not counted in its column."
        )
    return html(" ".join(parts))


def _change(value: float, reference: float, kind: str) -> str | None:
    if kind == "none" or (kind == "share" and reference == 0):
        return None
    change = value - reference if kind == "points" else 100 * (value / reference - 1)
    digits = 1 if kind == "points" else 0
    sign = "+" if change > 0 else "\N{MINUS SIGN}"
    number = f"{abs(change):.{digits}f}"
    # A rounded zero has no direction.
    written = f"±{number}" if float(number) == 0 else f"{sign}{number}"
    return written + (" points" if kind == "points" else "%")


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if abs(value) < 100 else f"{value:,.0f} s"
