"""The cells of a sweep, gathered over their seeds: mean and spread."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from earlybird.errors import InputError
from earlybird.recipes.metric_names import deciding_metric
from earlybird.recipes.run_directory import notes_in
from earlybird.recipes.sweep.directory import CELL, SweepDirectory
from earlybird.recipes.sweep.outcome import read_cell
from earlybird.recipes.sweep.plan import concerns_dense, recipe_value
from earlybird.recipes.sweep.settings import DENSE
from earlybird.recipes.training_seconds import Unit, common_unit, training_seconds


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of so many values; one value alone has no deviation."""

    mean: float
    deviation: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None where there is no value."""
        if not values:
            return None
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


@dataclass(frozen=True)
class Row:
    """The cells that differ in nothing but their seed.

    Attributes:
        labels: what they have in common: draw, ratio, score, coefficients, start, and the value of every axis.
        planned: how many were asked for.
        cells: those that are done.
        nothing_left: how many were to be continued from the end of the search.
        errors: why others failed, by seed.
        dense: the dense cells that `cells` are compared with, None where there is none of that seed.
    """

    labels: Mapping[str, Any]
    planned: int
    cells: Sequence[Mapping[str, Any]]
    nothing_left: int
    errors: Mapping[int, str]
    dense: Sequence[Mapping[str, Any] | None]

    def spread(self, field: str) -> Spread | None:
        """Of a number in the cells' files."""
        return Spread.of([float(cell[field]) for cell in self.cells if cell.get(field) is not None])

    def change(self, metric: str) -> Spread | None:
        """Of the metric against the dense network of the same seed, in points."""
        pairs = zip(self.cells, self.dense, strict=True)
        return Spread.of([cell[metric] - dense[metric] for cell, dense in pairs if dense is not None])

    def seconds(self, unit: Unit) -> Spread | None:
        """Of what a network costs in all: the search up to its draw, and its training."""
        known = [training_seconds(cell, unit) for cell in self.cells]
        return Spread.of([seconds for seconds in known if seconds is not None])

    @property
    def settled(self) -> int | None:
        """How many a detector drew; the others' masks never settled. None where no detector was asked."""
        asked = [cell["settled"] for cell in self.cells if "settled" in cell]
        return sum(asked) if asked else None


@dataclass(frozen=True)
class Table:
    """All rows, and what a reader has to know beside them.

    Attributes:
        metric: the number in the rows, one of `METRICS`.
        axes: the keys that are varied.
        unit: by which seconds the trainings of all cells can be compared.
        rows: in the order in which they were asked for, dense networks first.
        notes: one sentence each: on the data, what failed, what is missing, what does not go together.
    """

    metric: str
    axes: tuple[str, ...]
    unit: Unit
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def gather(files: SweepDirectory) -> Table:
    """What there is of a sweep, finished or not.

    Raises:
        InputError: no sweep was begun here, no cell of it is done, or not all are judged by one metric.
    """
    described = files.described()
    planned, base = described["cells"], described["recipe"]
    found = {name: read_cell(files, name) for name in planned}
    done = {name: cell for name, cell in found.items() if cell.get("status") == "done"}
    axes = tuple(dict.fromkeys(key for labels in planned.values() for key in labels["axes"]))
    groups: dict[str, list[str]] = {}
    for name, labels in planned.items():
        groups.setdefault(json.dumps({**_common(labels), "axes": labels["axes"]}, sort_keys=True), []).append(name)
    rows = []
    for names in groups.values():
        labels = planned[names[0]]
        finished = [name for name in names if name in done]
        rows.append(
            Row(
                {**_common(labels), **{key: _value(labels, key, base) for key in axes}},
                len(names),
                [done[name] for name in finished],
                sum(found[name].get("status") == "nothing-left" for name in names),
                {planned[n]["seed"]: found[n]["error"] for n in names if found[n].get("status") == "failed"},
                [done.get(planned[name]["dense"]) for name in finished],
            )
        )
    if not done:
        errors = {error for row in rows for error in row.errors.values()}
        said = f": {next(iter(errors))}" if errors else ""
        raise InputError(f"no cell of the sweep in {files.root} is done yet, of {len(planned)} asked for{said}")
    rows.sort(key=lambda row: row.labels["draw"] != DENSE)
    metrics = sorted({deciding_metric(cell) for cell in done.values()})
    if len(metrics) > 1:
        raise InputError(
            f"the cells in {files.root} are judged by {' and '.join(metrics)}, which no one table can hold; give each"
            " metric a sweep of its own"
        )
    return Table(metrics[0], axes, common_unit(done.values()), tuple(rows), tuple(_notes(files, planned, found, rows)))


def _value(labels: Mapping[str, Any], key: str, base: Mapping[str, Any]) -> Any:
    """A cell's value on an axis; None where it is nothing to a dense network."""
    if labels["draw"] == DENSE and not concerns_dense(key):
        return None
    return labels["axes"].get(key, recipe_value(base, key))


def _common(labels: Mapping[str, Any]) -> dict[str, Any]:
    return {key: labels[key] for key in ("draw", "ratio", "score", "coefficients", "start")}


def _notes(
    files: SweepDirectory, planned: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]], rows: Sequence[Row]
) -> Iterator[str]:
    done = [cell for cell in found.values() if cell.get("status") == "done"]
    yield from dict.fromkeys(f"Data: {note}." for cell in done for note in notes_in(cell))
    status = Counter(cell.get("status") for cell in found.values())
    missing = status[None]
    if missing:
        yield f"{missing} of {len(planned)} cells are not done yet; the command that began the sweep goes on with them."
    for name in planned:
        if (files.cell(name) / CELL).is_file() and not found[name]:
            yield f"{files.cell(name) / CELL} is damaged and counts as not done."
    errors = Counter(error for row in rows for error in row.errors.values())
    for error, count in errors.items():
        yield f"{count} {'cell' if count == 1 else 'cells'} failed: {error}."
    if status["nothing-left"]:
        yield (
            f"{status['nothing-left']} continued cells have nothing left to train: they are drawn at the end of the"
            " search; retraining.epochs gives them steps."
        )
    versions = Counter(cell["earlybird"] for cell in done)
    if len(versions) > 1:
        counts = ", ".join(f"{count} of {version}" for version, count in sorted(versions.items()))
        yield f"Cells of different versions of earlybird are mixed: {counts}."
    apart = [cell["replay_difference"] for cell in done if cell.get("replay_difference")]
    if apart:
        yield (
            f"{len(apart)} continued cells start from weights of a replay whose record differs from the search's by up"
            f" to {max(apart):.2g}."
        )
