"""The mask at each of some steps, against the last one, with a slider over the steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.report.analysis import Analysis
from earlybird.report.one_by_one import one_by_one, one_of
from earlybird.report.page.plots.plot import Plot, Spec, base_layout, layer_axis, layers_height, small_table, value_axis
from earlybird.report.palette import variable
from earlybird.report.series import MaskSeries
from earlybird.vocabulary import Kind

# What is written into a unit's cell, by state.
_SIGNS = ("", "", "\N{MINUS SIGN}", "+")


def masks_plot(analysis: Analysis, kind: Kind) -> Plot | None:
    """Which heads or experts are kept, or the share of each layer's neurons, now and by the last recorded mask."""
    series = analysis.masks.get(kind)
    if series is None:
        return None
    layers = len(series.units)
    layout = base_layout(8, hovermode="closest")
    layout["yaxis"] = layer_axis(layers)
    if one_by_one(kind, series.units):
        data = _cells(kind)
        steps: list[Spec] = [{"cells": cells} for cells in _digits(series)]
        layout["xaxis"] = value_axis(one_of(kind)) | {
            "showgrid": False,
            "dtick": max(1, -(-max(series.units) // 16)),
            "tick0": 0,
        }
    else:
        data = _bars(kind, layers)
        steps = [{"x": shares} for shares in _shares(series)]
        layout["xaxis"] = value_axis(f"kept share of the {kind}") | {"range": [0, 100], "ticksuffix": "%"}
        layout |= {"barmode": "stack", "bargap": 0.25}
    for entry, step in zip(steps, series.shown_steps, strict=True):
        entry["label"] = _label(analysis, int(step))
    drawn = analysis.draw_step
    start = len(steps) - 1 if drawn is None else int(np.searchsorted(series.shown_steps, drawn))
    columns, rows = small_table(_counts(kind, series), ".0f")
    spec: Spec = {"data": data, "layout": layout, "choices": [], "cursor": [], "signs": _SIGNS}
    spec |= {"steps": steps, "start": min(start, len(steps) - 1)}
    return Plot(f"masks-{kind}", spec, layers_height(layers), columns, rows)


def _cells(kind: Kind) -> list[Spec]:
    """A trace for each of what a unit can be: now, and in the last mask."""
    states = (
        ("pruned, and at the end", "pruned"),
        ("kept, and at the end", kind),
        ("kept, pruned at the end", f"{kind}-faint"),
        ("pruned, kept at the end", "pruned"),
    )
    return [
        {
            "type": "heatmap",
            "z": [],
            "colorscale": [[0, variable(colour)], [1, variable(colour)]],
            "showscale": False,
            "xgap": 3,
            "ygap": 3,
            "hoverongaps": False,
            "texttemplate": "%{text}",
            "textfont": {"size": 16, "color": variable("ink")},
            "hovertemplate": f"layer %{{y}}, {one_of(kind)} %{{x}}: {words}<extra></extra>",
        }
        for words, colour in states
    ]


def _digits(series: MaskSeries) -> list[list[str]]:
    """For each shown step a row of digits per layer, the traces of `_cells`."""
    last = series.shown[-1]
    states = np.where(series.shown, np.where(last, 1, 2), np.where(last, 3, 0))
    return [["".join(map(str, row[:count])) for row, count in zip(step, series.units, strict=True)] for step in states]


def _bars(kind: Kind, layers: int) -> list[Spec]:
    states = (("kept, and at the end", kind), ("kept, pruned at the end", f"{kind}-faint"))
    return [
        {
            "type": "bar",
            "orientation": "h",
            "x": [],
            "y": list(range(layers)),
            "marker": {"color": variable(colour)},
            "hovertemplate": f"layer %{{y}}: %{{x:.1f}}% {words}<extra></extra>",
        }
        for words, colour in states
    ]


def _shares(series: MaskSeries) -> list[list[list[float]]]:
    """For each shown step the values of the traces of `_bars`, in percent of a layer's units."""
    both, more = _common(series)
    size = np.maximum(series.units, 1)  # a layer may have none
    return [[np.round(100 * part / size, 2).tolist() for part in step] for step in zip(both, more, strict=True)]


def _common(series: MaskSeries) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each layer the units kept now and by the last mask, and those kept now alone, (steps, layers) each."""
    last = series.shown[-1]
    return (series.shown & last).sum(-1), (series.shown & ~last).sum(-1)


def _counts(kind: Kind, series: MaskSeries) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    both, more = _common(series)
    return {
        f"{kind} kept": (series.shown_steps, (both + more).sum(-1).astype(np.float64)),
        "of them kept at the end": (series.shown_steps, both.sum(-1).astype(np.float64)),
    }


def _label(analysis: Analysis, step: int) -> str:
    words = f"{step:,} ({analysis.percent(step):.1f}%)"
    settled = sorted(kind for kind, draw in analysis.draws.items() if draw.settled == step)
    if settled:
        words += f", {' and '.join(settled)} have settled"
    return words + (", the draw" if step == analysis.draw_step else "")
