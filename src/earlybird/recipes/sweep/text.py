"""A sweep's table as text: the central table, all rows, Markdown, CSV, JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from earlybird import __version__
from earlybird.atomic_write import write_whole
from earlybird.recipes.metric_names import metric_title
from earlybird.recipes.run_directory import write_json
from earlybird.recipes.sweep.directory import SweepDirectory
from earlybird.recipes.sweep.plan import named_ratio, written_ratio
from earlybird.recipes.sweep.table import Row, Spread, Table
from earlybird.recipes.training_seconds import NAMES
from earlybird.vocabulary import KINDS, WEIGHED_KINDS

Grid = tuple[list[str], list[list[str]]]


def write_table(table: Table, files: SweepDirectory) -> dict[str, Any]:
    """Write results.json, results.csv and results.md; returns the content of the first."""
    content = {
        "earlybird": __version__,
        "metric": table.metric,
        "notes": list(table.notes),
        "rows": [_described(row, table) for row in table.rows],
    }
    write_json(files.results("json"), content)
    write_whole(files.results("csv"), _csv(table))
    parts = [_markdown(central_grid(table)), _markdown(grid(table)), "\n".join(f"- {note}" for note in table.notes)]
    write_whole(files.results("md"), "\n\n".join(part for part in parts if part) + "\n")
    return content


def central_grid(table: Table) -> Grid:
    """The central table: a row per draw, a column per ratio, the metric in each field."""
    ratios = sorted({written_ratio(row.labels["ratio"]) for row in table.rows if row.labels["ratio"]})
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for row in table.rows:
        line = lines.setdefault(tuple(_labels(row, table)), {})
        ratio = row.labels["ratio"]
        for column in [written_ratio(ratio)] if ratio else ratios:
            line[column] = _percent(row, row.spread(table.metric))
    headings = [*_label_keys(table), *(f"{metric_title(table.metric)} at {named_ratio(ratio)}" for ratio in ratios)]
    return headings, [[*labels, *(line.get(ratio, "") for ratio in ratios)] for labels, line in lines.items()]


def grid(table: Table) -> Grid:
    """Every row with its number, its change against dense, its draw and its cost."""
    title = metric_title(table.metric)
    headings = [
        *_label_keys(table),
        "ratio",
        title,
        "against dense",
        "drawn at",
        f"{NAMES[table.unit]} in all",
        "parameters",
    ]
    lines = []
    for row in table.rows:
        parameters = row.spread("parameters")
        lines.append(
            [
                *_labels(row, table),
                written_ratio(row.labels["ratio"]) if row.labels["ratio"] else "",
                _percent(row, row.spread(table.metric)),
                "" if row.labels["draw"] == "dense" else _written(row.change(table.metric), "{:+.1f}", "{:.1f}"),
                _drawn(row),
                _written(row.seconds(table.unit), "{:,.0f}"),
                "" if parameters is None else f"{parameters.mean:,.0f}",
            ]
        )
    return headings, lines


def _label_keys(table: Table) -> list[str]:
    # Whether a search trained its coefficients is said where not all did alike.
    mixed = len({row.labels["coefficients"] for row in table.rows} - {None}) > 1
    return [*table.axes, "draw", "score", *(["coefficients"] if mixed else []), "start"]


def _labels(row: Row, table: Table) -> list[str]:
    return ["" if row.labels[key] is None else str(row.labels[key]) for key in _label_keys(table)]


def _percent(row: Row, spread: Spread | None) -> str:
    if spread is None:
        return "failed" if row.errors else "nothing left" if row.nothing_left else "not done"
    # A mean over fewer seeds than were asked for is to be seen as such.
    fewer = f" ({spread.count} of {row.planned})" if spread.count < row.planned else ""
    return _written(spread, "{:.1f}") + fewer


def _drawn(row: Row) -> str:
    fraction = row.spread("draw_fraction")
    if fraction is None:
        return ""
    percent = Spread(100 * fraction.mean, None if fraction.deviation is None else 100 * fraction.deviation, 0)
    never = "" if row.settled in (None, len(row.cells)) else f", settled in {row.settled} of {len(row.cells)}"
    return _written(percent, "{:.1f}") + "%" + never


def _written(spread: Spread | None, form: str, deviation_form: str | None = None) -> str:
    if spread is None:
        return ""
    deviation = "" if spread.deviation is None else " ± " + (deviation_form or form).format(spread.deviation)
    return form.format(spread.mean) + deviation


def _markdown(content: Grid) -> str:
    headings, lines = content
    rule = ["---"] * len(headings)
    return "\n".join("| " + " | ".join(line) + " |" for line in [headings, rule, *lines])


def _described(row: Row, table: Table) -> dict[str, Any]:
    return {
        "labels": dict(row.labels),
        "planned": row.planned,
        "nothing_left": row.nothing_left,
        "settled": row.settled,
        "errors": {str(seed): error for seed, error in row.errors.items()},
        **{name: None if spread is None else asdict(spread) for name, spread in _spreads(row, table).items()},
        "cells": [dict(cell) for cell in row.cells],
    }


def _spreads(row: Row, table: Table) -> dict[str, Spread | None]:
    fields = ("draw_step", "draw_fraction", "search_seconds", "train_seconds", "parameters", "flops")
    return {
        table.metric: row.spread(table.metric),
        "against_dense": row.change(table.metric),
        table.unit: row.seconds(table.unit),
        **{field: row.spread(field) for field in fields},
    }


def _csv(table: Table) -> str:
    text = io.StringIO()
    spreads = list(_spreads(table.rows[0], table))
    columns = [f"{name}_{part}" for name in spreads for part in ("mean", "deviation")]
    labels = [*table.axes, "draw", "score", "coefficients", "start"]
    pruned = {kind for row in table.rows for kind in row.labels["ratio"] or {}}
    kinds = [kind for kind in KINDS if kind in WEIGHED_KINDS or kind in pruned]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*labels, *(f"{kind}_ratio" for kind in kinds), "cells", "planned", "settled", *columns])
    for row in table.rows:
        ratio: Mapping[str, float] = row.labels["ratio"] or {}
        values: Sequence[Any] = [
            value
            for spread in _spreads(row, table).values()
            for value in ((None, None) if spread is None else (spread.mean, spread.deviation))
        ]
        own = [row.labels[key] for key in labels]
        counts = [len(row.cells), row.planned, row.settled]
        writer.writerow([*own, *(ratio.get(kind) for kind in kinds), *counts, *values])
    return text.getvalue()
