"""Earliness against what was captured, a point for every detector, a panel for every score."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from drawing import Summary
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from earlybird.detectors.rule_presets import RULES
from earlybird.report.palette import LIGHT
from earlybird.vocabulary import Score

_FAMILIES = {
    "test on the norm": (LIGHT["heads"], "o"),
    "the study's, in its steps": (LIGHT["random"], "s"),
    "rule": (LIGHT["neurons"], "D"),
    "fixed part of the run": (LIGHT["ink"], "x"),
}
# The target: nine of ten draws capture 0.9, the median is drawn by a fifth of the run.
_EARLY, _GOOD = 0.20, 0.90
_LEAST = 0.0


def _family(name: str) -> str:
    if name.startswith("at "):
        return "fixed part of the run"
    if name.startswith("published"):
        return "the study's, in its steps"
    return "rule" if name in RULES and RULES[name].criterion is None else "test on the norm"


def save_figure(by_score: Mapping[Score, Mapping[str, Summary]], directory: Path) -> None:
    """Write figure.png."""
    figure = Figure(figsize=(9, 15.5), layout="constrained")
    panels = figure.subplots(len(by_score), 1, sharex=True)
    for axes, (score, summaries) in zip(panels, by_score.items(), strict=True):
        _panel(axes, score, summaries)
    panels[-1].set_xlabel("median draw, % of the run (a run without a draw counts as all of it)")
    handles = [
        panels[0].scatter([], [], color=colour, marker=marker, s=22, label=family)
        for family, (colour, marker) in _FAMILIES.items()
    ]
    handles.append(panels[0].scatter([], [], facecolors="none", edgecolors=LIGHT["muted"], s=22, label="misses some"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    figure.savefig(directory / "figure.png", dpi=120)


def _panel(axes: Axes, score: Score, summaries: Mapping[str, Summary]) -> None:
    drawn = {name: summary for name, summary in summaries.items() if summary.misses < summary.cases}
    places = {name: (100 * row.draw, max(row.nine_tenths, _LEAST)) for name, row in drawn.items()}
    axes.add_patch(Rectangle((0, _GOOD), 100 * _EARLY, 1.02 - _GOOD, color=LIGHT["ticket"], alpha=0.12, linewidth=0))
    for name, (x, y) in places.items():
        colour, marker = _FAMILIES[_family(name)]
        hollow = drawn[name].misses and marker != "x"
        axes.scatter(
            [x], [y], s=22, marker=marker, edgecolors=None if marker == "x" else colour, linewidths=1.2,
            c=["none" if hollow else colour], zorder=3,
        )  # fmt: skip
    _label(axes, places)
    axes.set_xscale("log")
    axes.set_xlim(0.4, 105)
    axes.set_xticks([0.5, 1, 2, 5, 10, 20, 50, 100], ["0.5", "1", "2", "5", "10", "20", "50", "100"])
    axes.set_ylim(_LEAST - 0.03, 1.02)
    axes.set_ylabel("captured by nine of ten draws, at least")
    never = [name for name in summaries if name not in drawn]
    remark = f" (never draws: {', '.join(never)})" if never else ""
    axes.set_title(f"score: {score}{remark}", loc="left", fontsize=10)
    axes.grid(color=LIGHT["grid"], linewidth=0.6)
    axes.set_axisbelow(True)


def _label(axes: Axes, places: Mapping[str, tuple[float, float]]) -> None:
    """Names in a column beside the panel, in the order of their points, so that no two overlap."""
    order = sorted(places, key=lambda name: (-places[name][1], places[name][0]))
    for row, name in enumerate(order):
        axes.annotate(
            name,
            xy=places[name],
            xytext=(1.06, 1 - (row + 0.5) / len(order)),
            textcoords="axes fraction",
            va="center",
            fontsize=6.5,
            color=_FAMILIES[_family(name)][0],
            arrowprops={
                "arrowstyle": "-",
                "color": LIGHT["muted"],
                "linewidth": 0.35,
                "shrinkA": 0,
                "shrinkB": 2,
                "relpos": (0, 0.5),
            },
        )
