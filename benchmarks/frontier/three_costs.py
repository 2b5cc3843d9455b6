"""What every way to a smaller network costs, to train and to ask, against how good it is: a table and a figure.

    python benchmarks/frontier/three_costs.py SWEEP/results.json PEERS/results.json RUNS/NAME/seed-0/summary.json ...
        --output DIRECTORY

The costs are shares of dense training's: FLOPs (search, choosing and refit included), seconds (which compare where
nothing else ran, see the column of the cores that other work kept busy), and FLOPs of an answer. A short dense
training is cheap and leaves a large network, pruning at the end leaves a small one and saves no training: only all
three together compare. The last column names the rows that cost no more in FLOPs, to train and to ask, and are better
by two standard errors of the paired difference.

Rows are those of a sweep, those of benchmarks/peers, and networks of runs of their own, by their summary.json, which
are named by the directory above the run's; at least one of these has trained the dense network of each seed. Writes
three-costs.md, .csv and .png.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.settings import Recipe
from earlybird.report.palette import LIGHT

# Costs that differ by less are the same: a draw comes some steps earlier with another seed.
_ALIKE = 0.01


@dataclass(frozen=True)
class Training:
    """One network: its costs as shares of the dense one's of its seed, and how far it is from it in points."""

    training_flops: float
    seconds: float
    other_cores: float | None
    answer_flops: float
    difference: float


@dataclass(frozen=True)
class Row:
    """One way, over the seeds."""

    name: str
    by_seed: Mapping[int, Training]

    def mean(self, cost: str) -> float:
        """Of a field of `Training`."""
        return statistics.mean(getattr(one, cost) for one in self.by_seed.values())

    @property
    def error(self) -> float:
        """Standard error of the mean difference to dense; NaN for one seed."""
        return _standard_error([one.difference for one in self.by_seed.values()])

    def beats(self, other: Row) -> bool:
        """Whether it is as cheap in FLOPs, to train and to ask, and better by two standard errors of the difference."""
        both = self.by_seed.keys() & other.by_seed.keys()
        gains = [self.by_seed[seed].difference - other.by_seed[seed].difference for seed in both]
        if len(gains) < 2:
            return False
        cheap = all(self.mean(cost) <= other.mean(cost) + _ALIKE for cost in ("training_flops", "answer_flops"))
        return cheap and statistics.mean(gains) > 2 * _standard_error(gains)


def _standard_error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def rows_of(sources: Sequence[Path], refit_batches: int) -> tuple[str, list[Row]]:
    """The metric, and all rows of sweeps, peers and runs; the dense network comes from the sweeps and runs."""
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in sources]
    sweeps = [content for content in contents if "rows" in content]
    peers = [row for content in contents if isinstance(content, list) for row in content]
    runs = [pair for pair in zip(sources, contents, strict=True) if "ticket" in pair[1]]
    for path, summary in runs:
        peers += [_run_row(path, summary, which) for which in ("ticket", "random") if which in summary]
    metrics = {str(content["metric"]) for content in contents if "metric" in content}
    if len(metrics) != 1:
        raise SystemExit(f"sweeps and runs of one metric are compared, got {sorted(metrics)}")
    (metric,) = metrics
    cells = [
        (row["labels"], cell)
        for content in sweeps
        for row in content["rows"]
        for cell in row["cells"]
        if cell["status"] == "done"
    ]
    dense = {cell["dense"]: cell for labels, cell in cells if labels["draw"] == "dense"}
    by_seed = {cell["seed"]: cell for cell in dense.values()}
    of_runs = {_recipe(path).seed: summary["dense"] for path, summary in runs if "dense" in summary}
    if peers and len(by_seed | of_runs) != len(dense) + len(of_runs):
        raise SystemExit("peers are compared with the dense network of their seed, of which there are several")
    by_seed |= of_runs
    found: dict[str, dict[int, Training]] = defaultdict(dict)
    for seed, own in of_runs.items():
        found["dense"][seed] = _training(
            {**own, "steps": own["train_steps"], "seconds": own["train_seconds"]}, own, metric
        )
    for labels, cell in cells:
        if cell["dense"] in dense:
            own = dense[cell["dense"]]
            found[_name(labels)][cell["seed"]] = _training(_searched(labels, cell, own, refit_batches), own, metric)
    for row in peers:
        if row["seed"] in by_seed:
            found[_peer_name(row)][row["seed"]] = _training(row, by_seed[row["seed"]], metric)
    return metric, [Row(name, trainings) for name, trainings in found.items()]


def _name(labels: Mapping[str, Any]) -> str:
    if labels["draw"] == "dense":
        return "dense"
    ratio = "/".join(f"{value:g}" for value in dict.fromkeys(labels["ratio"].values()))
    # The keys that a sweep varies are dotted.
    axes = [f"{key.rpartition('.')[2]} {value}" for key, value in labels.items() if "." in key]
    score = [] if labels["draw"] == "random" else [labels["score"].replace("-", " ")]
    return ", ".join([labels["draw"], *score, labels["start"], ratio, *axes])


def _peer_name(row: Mapping[str, Any]) -> str:
    if "ratio" not in row:
        return str(row["draw"])
    return f"{row.get('draw', 'one-shot Taylor')}, {row['ratio']:g}"


def _run_row(path: Path, summary: Mapping[str, Any], which: str) -> dict[str, Any]:
    """A ticket of a run of its own, RUNS/NAME-OF-THE-ROW/seed-0/summary.json, as the peers' rows are.

    The random one continues from the same weights, so that the search up to there is its cost, too.
    """
    own, ticket, recipe = summary[which], summary["ticket"], _recipe(path)
    continues = which == "ticket" or own["start"] == "continue"
    return {
        **own,
        "draw": path.parent.parent.name + (", random units" if which == "random" else ""),
        "seed": recipe.seed,
        "steps": own["train_steps"],
        "seconds": own["train_seconds"] + (ticket["search_seconds"] if continues else 0.0),
        "dense_steps": ticket["draw_step"] + 1 if continues else 0,
        "refit_batches": recipe.search.compensation,
    }


def _recipe(summary: Path) -> Recipe:
    return read_recipe(str(summary.with_name("recipe.yaml")))


def _searched(
    labels: Mapping[str, Any], cell: Mapping[str, Any], dense: Mapping[str, Any], refit_batches: int
) -> dict[str, Any]:
    """A sweep's cell as the peers' rows are: with the dense steps before it, and their seconds."""
    if labels["draw"] == "dense":
        refit_batches = 0
    refit_batches = labels.get("search.compensation", refit_batches)
    steps = cell["draw_step"] + 1 if "draw_step" in cell else 0
    if labels["draw"] == "random" and labels["start"] == "continue":
        steps = dense["train_steps"] - cell["train_steps"]
    seconds = cell.get("search_seconds", steps / dense["train_steps"] * dense["train_seconds"])
    spent = {"steps": cell["train_steps"], "seconds": cell["train_seconds"] + seconds, "dense_steps": steps}
    return {**cell, **spent, "refit_batches": refit_batches}


def _training(row: Mapping[str, Any], dense: Mapping[str, Any], metric: str) -> Training:
    # A batch that units are chosen by goes forward and backward, as a step; one of a refit forward alone.
    before = row.get("dense_steps", 0) + row.get("batches", 0) + row.get("refit_batches", 0) / 3
    flops = row["steps"] * row["flops"] + before * dense["flops"]
    known = [one for entry in (row, dense) if (one := entry.get("other_cores")) is not None]
    return Training(
        training_flops=flops / (dense["train_steps"] * dense["flops"]),
        seconds=(row["seconds"] + row.get("choosing_seconds", 0.0)) / dense["train_seconds"],
        other_cores=max(known, default=None),
        answer_flops=row["flops"] / dense["flops"],
        difference=row[metric] - dense[metric],
    )


def table(rows: Sequence[Row], metric: str) -> str:
    """Markdown, the cheapest to train first."""
    lines = [
        "| | training FLOPs | seconds | others' cores | FLOPs of an answer"
        f" | {metric} against dense | seeds | beaten by |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        error = "" if math.isnan(row.error) else f" ± {row.error:.2f}"
        others = [one.other_cores for one in row.by_seed.values() if one.other_cores is not None]
        better = "; ".join(other.name for other in rows if other.beats(row))
        lines.append(
            f"| {row.name} | {row.mean('training_flops'):.1%} | {row.mean('seconds'):.0%}"
            f" | {f'{max(others):.1f}' if others else ''} | {row.mean('answer_flops'):.1%}"
            f" | {row.mean('difference'):+.2f}{error} | {len(row.by_seed)} | {better} |"
        )
    return "\n".join(lines) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """One line for each training."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "seed", "training_flops", "seconds", "other_cores", "answer_flops", "difference"])
    for row in rows:
        for seed, one in sorted(row.by_seed.items()):
            numbers = (one.training_flops, one.seconds, one.other_cores, one.answer_flops, one.difference)
            writer.writerow([row.name, seed, *("" if number is None else f"{number:.4f}" for number in numbers)])
    return text.getvalue()


def figure(rows: Sequence[Row], metric: str) -> Figure:
    """Training FLOPs against the metric; the smaller a network's answer, the smaller its disc."""
    result = Figure(figsize=(9, 5.2), layout="constrained")
    axes = result.subplots()
    axes.axhline(0, color=LIGHT["muted"], linewidth=0.8)
    markers = _markers()
    for row in rows:
        axes.errorbar(
            100 * row.mean("training_flops"),
            row.mean("difference"),
            yerr=None if math.isnan(row.error) else row.error,
            fmt=next(markers),
            markersize=4 + 10 * row.mean("answer_flops"),
            linewidth=0.8,
            alpha=0.85,
            label=row.name,
        )
    axes.set_xlim(0, 108)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("search and training, % of dense training's FLOPs", color=LIGHT["muted"])
    axes.set_ylabel(f"{metric} against dense, points", color=LIGHT["muted"])
    title = "the larger a mark, the larger the network that is left"
    result.legend(loc="outside lower center", frameon=False, fontsize=8, ncols=2, title=title, title_fontsize=8)
    return result


def _markers() -> Iterator[str]:
    while True:
        yield from "osD^vPX"


def main() -> None:
    """Write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--refit-batches", type=int, default=16, help="of the sweeps' cells, where no axis says")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    metric, rows = rows_of(arguments.results, arguments.refit_batches)
    rows.sort(key=lambda row: row.mean("training_flops"))
    arguments.output.mkdir(parents=True, exist_ok=True)
    picture = figure(rows, metric)
    picture.savefig(arguments.output / "three-costs.png", dpi=110)
    (arguments.output / "three-costs.csv").write_text(as_csv(rows), encoding="utf-8")
    text = table(rows, metric)
    (arguments.output / "three-costs.md").write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
