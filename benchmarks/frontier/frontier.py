"""What a sweep's tickets cost against how accurate they are, both relative to dense training: a figure and a table.

    python benchmarks/frontier/frontier.py SWEEP/results.json [--one-shot DIRECTORY/results.json] [--cost seconds]
        --output DIRECTORY

Cost is search up to the draw plus training: `flops`, in forward FLOPs times steps, which no other work on the machine
changes; `seconds`, as measured, which mean something where nothing else ran. The figure shows one of the two. Of
trainings that were evaluated on the way (`training.evaluate_every`) the table also has the cost, in FLOPs, up to the
first evaluation that is as good as the dense network of the seed at its end.

Writes frontier.png and frontier.md into the output directory.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from earlybird.report.palette import LIGHT

# The goal: at least 40% cheaper, within a point of dense.
CHEAPER, WITHIN = 0.60, -1.0
FIXED = ", coefficients fixed"
MARKERS = {
    "coefficient": "o", "gradient": "s", "gradient" + FIXED: "^", "squared-gradient": "D",
    "squared-gradient" + FIXED: "v", "": "X",
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """Means over the seeds.

    Attributes:
        draw: by what.
        score: that ranked the units, and whether the coefficients stayed as they were; "" where none did.
        start: rewind or continue.
        ratio: pruned, of heads and neurons.
        flops: cost as a share of dense training's, counted.
        seconds: the same, measured.
        difference: of the metric to the dense network of the same seed, in points.
        error: standard error of that mean; NaN for one seed.
        seeds: how many.
        reached: cost in FLOPs when as good as the dense network at its end, of each seed that came to it; None where
            nothing was evaluated on the way.
    """

    draw: str
    score: str
    start: str
    ratio: float
    flops: float
    seconds: float
    difference: float
    error: float
    seeds: int
    reached: list[float] | None


def point(
    draw: str, score: str, start: str, ratio: float, metric: str, pairs: Iterable[tuple[Mapping[str, Any], Any]]
) -> Point:
    """A point from cells, each with the dense one of its seed.

    The search's steps are dense ones, up to the draw; a random ticket needs none to rewind. What continues trains the
    rest of the dense network's steps.
    """
    flops, seconds, differences, reached = [], [], [], []
    evaluated = False
    for cell, dense in pairs:
        searched = cell["draw_step"] + 1 if "draw_step" in cell else 0
        if start == "continue" and "draw_step" not in cell:
            # A random ticket, continued from the step of the draw that it is compared with.
            searched = dense["train_steps"] - cell["train_steps"]
        search_flops = searched * dense["flops"]
        total = dense["train_steps"] * dense["flops"]
        flops.append((search_flops + cell["train_steps"] * cell["flops"]) / total)
        search_seconds = cell.get("search_seconds") or searched / dense["train_steps"] * dense["train_seconds"]
        seconds.append((search_seconds + cell["train_seconds"]) / dense["train_seconds"])
        differences.append(cell[metric] - dense[metric])
        evaluated |= "evaluations" in cell
        steps = [entry["step"] for entry in cell.get("evaluations", []) if entry[metric] >= dense[metric]]
        reached += [(search_flops + step * cell["flops"]) / total for step in steps[:1]]
    error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
    mean = statistics.mean
    return Point(
        draw, score, start, ratio, mean(flops), mean(seconds), mean(differences), error, len(differences),
        reached if evaluated else None,
    )  # fmt: skip


def points_of(results: Mapping[str, Any], one_shot: Iterable[Mapping[str, Any]]) -> list[Point]:
    """All rows of a sweep but the dense one, and of the one-shot peer."""
    metric = results["metric"]
    done = [(row["labels"], [cell for cell in row["cells"] if cell["status"] == "done"]) for row in results["rows"]]
    dense_cells = [(labels, cell) for labels, cells in done if labels["draw"] == "dense" for cell in cells]
    if len({json.dumps(labels, sort_keys=True) for labels, _ in dense_cells}) != 1:
        raise SystemExit("a frontier is that of one dense training, with any seeds: leave out axes that concern it")
    dense = {cell["seed"]: cell for _, cell in dense_cells}
    points = []
    for labels, cells in done:
        cells = [cell for cell in cells if cell["seed"] in dense]
        if labels["draw"] == "dense" or not cells:
            continue
        score = "" if labels["draw"] == "random" else labels["score"]
        if score and labels.get("coefficients") == "fixed":
            score += FIXED
        ratio = max(labels["ratio"].values())
        points.append(
            point(
                labels["draw"], score, labels["start"], ratio, metric, ((cell, dense[cell["seed"]]) for cell in cells)
            )
        )
    rows = [
        # A batch that units are chosen by costs what a step does: it goes forward and backward.
        {"draw_step": row["batches"] - 1, "search_seconds": row["choosing_seconds"], "train_steps": row["steps"], **row}
        for row in one_shot
    ]
    for ratio in sorted({row["ratio"] for row in rows}):
        cells = [{**row, "train_seconds": row["seconds"]} for row in rows if row["ratio"] == ratio]
        points.append(
            point("one-shot Taylor", "", "rewind", ratio, metric, ((cell, dense[cell["seed"]]) for cell in cells))
        )
    return points


def is_best(one: Point, points: Iterable[Point]) -> bool:
    """Whether no other point is cheaper, by FLOPs, and as accurate, or as cheap and more accurate."""
    return not any(
        other.flops <= one.flops
        and other.difference >= one.difference
        and (other.flops, other.difference) != (one.flops, one.difference)
        for other in points
    )


def table(points: list[Point], metric: str) -> str:
    """Markdown, the cheapest first."""
    lines = [
        f"| draw | score | start | ratio | cost, FLOPs | cost, seconds | {metric} against dense ± standard error | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    with_reached = any(one.reached is not None for one in points)
    if with_reached:
        lines = [lines[0].removesuffix(" |") + " as good as dense at | |", lines[1] + " --- |"]
    for one in sorted(points, key=lambda one: one.flops):
        error = "" if math.isnan(one.error) else f" ± {one.error:.1f}"
        notes = ["frontier"] if is_best(one, points) else []
        notes += ["goal"] if one.flops <= CHEAPER and one.difference >= WITHIN else []
        lines.append(
            f"| {one.draw} | {one.score} | {one.start} | {one.ratio:g} | {one.flops:.0%} | {one.seconds:.0%}"
            f" | {one.difference:+.1f}{error} |{_reached(one) if with_reached else ''} {', '.join(notes)} |"
        )
    return "\n".join(lines) + "\n"


def _reached(one: Point) -> str:
    if not one.reached:
        return " never |" if one.reached is not None else " |"
    fewer = "" if len(one.reached) == one.seeds else f" ({len(one.reached)} of {one.seeds} seeds)"
    return f" {statistics.mean(one.reached):.0%}{fewer} |"


def figure(points: list[Point], metric: str, cost: str) -> Figure:
    """Cost, in flops or seconds, against accuracy: a panel for each ratio, a colour for each draw, a score's marker."""
    ratios = sorted({one.ratio for one in points})
    draws = list(dict.fromkeys(one.draw for one in points))
    colours = dict(zip(draws, colormaps["tab20" if len(draws) > 10 else "tab10"].colors, strict=False))
    result = Figure(figsize=(9, 4.2 * len(ratios)), layout="constrained")
    panels = result.subplots(len(ratios), 1, squeeze=False, sharex=True)[:, 0]
    for axes, ratio in zip(panels, ratios, strict=True):
        axes.axhline(0, color=LIGHT["muted"], linewidth=0.8)
        axes.add_patch(Rectangle((0, WITHIN), 100 * CHEAPER, 100, color=LIGHT["ticket"], alpha=0.1, linewidth=0))
        here = [one for one in points if one.ratio == ratio]
        for one in here:
            axes.errorbar(
                100 * getattr(one, cost),
                one.difference,
                yerr=None if math.isnan(one.error) else one.error,
                fmt=MARKERS[one.score],
                color=colours[one.draw],
                markerfacecolor=colours[one.draw] if one.start == "rewind" else "none",
                markersize=5.5,
                linewidth=0.7,
            )
        low, high = min(one.difference for one in here), max(one.difference for one in here)
        axes.set_xlim(0, max(110.0, *(100 * getattr(one, cost) + 5 for one in points)))
        axes.set_ylim(min(low, WITHIN) - 1, max(high, 0) + 1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(f"ratio {ratio:g}", fontsize=10, loc="left", color=LIGHT["ink"])
        axes.set_ylabel(f"{metric} against dense, points", color=LIGHT["muted"])
    panels[-1].set_xlabel(
        f"search and training, % of dense training's {'FLOPs' if cost == 'flops' else cost}", color=LIGHT["muted"]
    )
    scores = [score for score in MARKERS if any(one.score == score for one in points)]
    handles = [Line2D([], [], color=colours[draw], linewidth=4, label=draw) for draw in draws]
    handles += [_marker(MARKERS[score], score or "no score") for score in scores]
    handles.append(_marker("o", "continued, not rewound", markerfacecolor="none"))
    result.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return result


def _marker(marker: str, label: str, markerfacecolor: str = LIGHT["muted"]) -> Line2D:
    style = {"marker": marker, "markerfacecolor": markerfacecolor, "color": LIGHT["muted"], "linestyle": "none"}
    return Line2D([], [], **style, markersize=5.5, label=label)


def main() -> None:
    """Write the figure and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--one-shot", type=Path)
    parser.add_argument("--cost", choices=("flops", "seconds"), default="flops")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    results = json.loads(arguments.results.read_text(encoding="utf-8"))
    one_shot = json.loads(arguments.one_shot.read_text(encoding="utf-8")) if arguments.one_shot else []
    points = points_of(results, one_shot)
    arguments.output.mkdir(parents=True, exist_ok=True)
    picture = figure(points, results["metric"], arguments.cost)
    picture.savefig(arguments.output / "frontier.png", dpi=130)
    text = table(points, results["metric"])
    (arguments.output / "frontier.md").write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
