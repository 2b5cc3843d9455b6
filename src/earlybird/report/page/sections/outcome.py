"""The section on what was trained: a table of dense, ticket and random ticket beside one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from earlybird.recipes.metric_names import LOSSES, METRICS, deciding_metric, metric_title
from earlybird.recipes.run_directory import notes_in
from earlybird.recipes.training_seconds import NAMES, common_unit, training_seconds
from earlybird.report.amount import amount, percent
from earlybird.report.finite import finite
from earlybird.report.networks import network_name, standard_error, trained_networks
from earlybird.report.page.cost_chart import cost_chart, points_of
from earlybird.report.page.frames import missing
from earlybird.report.page.markup import Markup, element, html, joined, scrollable, table
from earlybird.report.run import Run
from earlybird.report.training_cost import training_costs
from earlybird.report.training_flops import training_flops
from earlybird.report.verdict import evaluation_examples

NONE = "\N{EN DASH}"
FORWARD = "Training FLOPs are those of the forward passes; backward passes take twice as many, of every network."


def outcome(run: Run) -> list[Markup]:
    """The section's parts."""
    if run.summary is None:
        return [missing(run.missing["summary"])]
    parts = [*_chart(run), element("div", _table(run), class_="outcomes")]
    if "dense" not in run.summary:
        parts.append(missing("No dense network was trained, so there is nothing to compare with."))
    if "random" not in run.summary:
        parts.append(missing("No random ticket was trained, so the ticket's choice of units is not put to the test."))
    parts += [element("p", f"On the data: {note}.") for note in notes_in(run.summary)]
    return parts


def _chart(run: Run) -> list[Markup]:
    """Accuracy against the cost of the training, in percent of dense training's where there is one."""
    summary = run.summary or {}
    # Their ratio asks for no batch size.
    costs = {key: training_flops(summary, key) for key in trained_networks(summary)}
    dense = costs.get("dense")
    axis = "training FLOPs, search included"
    if dense:
        costs = {key: None if cost is None else 100 * cost / dense for key, cost in costs.items()}
        axis += ", in percent of dense training's"
    else:
        costs = training_costs(run)
    points = points_of(summary, costs)
    if not points:
        return []

    def write(cost: float) -> str:
        return f"{cost:.0f}%" if dense else amount(cost)

    title = metric_title(deciding_metric(summary))
    return [
        element("h3", f"{title[0].upper() + title[1:]} against the cost of training"),
        cost_chart(points, title, axis, write),
    ]


def _table(run: Run) -> Markup:
    summary = run.summary or {}
    columns, rows = outcome_table(summary, training_costs(run))
    caption = _caption(summary, trained_networks(summary))
    return scrollable(table(caption, columns, rows), "Table of outcomes, scrolls sideways")


def outcome_table(
    summary: Mapping[str, Any], costs: Mapping[str, float | None]
) -> tuple[list[object], list[list[object]]]:
    """Headings and rows, one column per network that was trained; a number that is not there is a dash.

    Args:
        summary: the content of summary.json.
        costs: FLOPs of each network's training.
    """
    entries = trained_networks(summary)
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
        return training_seconds(entries[key], unit) if key in entries else None

    unit = common_unit(entries.values())

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
        row("Training FLOPs, search included", costs.get, amount, "share"),
        row("FLOPs per answer", plain("flops"), amount, "share"),
        row("Parameters", plain("parameters"), amount, "share"),
        row(f"Search and training, {NAMES[unit]}", spent, _seconds, "share"),
        row("Search by the clock", searching, _seconds, "none"),
        row("Training by the clock", plain("train_seconds"), _seconds, "none"),
        row("Training steps", plain("train_steps"), lambda value: f"{value:,.0f}", "none"),
        row("Drawn at step", _of_tickets(entries, "draw_step"), lambda value: f"{value:,.0f}", "none"),
        row("Share of search", _of_tickets(entries, "draw_fraction"), percent, "none"),
    ]
    return columns, rows


def _of_tickets(entries: Mapping[str, Mapping[str, Any]], field: str) -> Callable[[str], float | None]:
    return lambda key: finite(entries[key].get(field)) if key.startswith("ticket") else None


def _heading(key: str, entry: Mapping[str, Any]) -> Markup:
    """The network's name with its colour."""
    dot = element("span", "\N{BLACK CIRCLE}", class_=f"dot {key.split('_')[0]}", aria_hidden="true")
    return joined(
        [dot, network_name(key, entry)],
        "\N{NO-BREAK SPACE}",
    )


def _caption(summary: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]]) -> Markup:
    parts = ["What each network reaches and costs; small figures are the change against dense.", FORWARD]
    examples = evaluation_examples(summary)
    metric = deciding_metric(summary)
    title = metric_title(metric)
    error = standard_error(next(iter(entries.values()), {}), metric, examples)
    if examples is not None and error > 0:
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
