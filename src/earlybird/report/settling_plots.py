"""How the masks settled, over the steps: their norm, the detector's statistic, their agreement with the last."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earlybird.report.analysis import Analysis
from earlybird.report.marks import Mark, marks_of
from earlybird.report.plot import (
    LABEL,
    ROW,
    Plot,
    Spec,
    base_layout,
    line_trace,
    marked,
    small_table,
    steps_axis,
    value_axis,
)
from earlybird.report.series import moving_average
from earlybird.trajectory import KINDS, Kind


def norm_plot(analysis: Analysis) -> Plot | None:
    """The nuclear norm of each kind's masks."""
    kinds = [kind for kind in KINDS if kind in analysis.masks]

    def traces(kind: Kind) -> list[Spec]:
        series = analysis.masks[kind]
        smooth = moving_average(series.norm, max(3, len(series.steps) // 50))
        return [
            line_trace(series.steps, series.norm, f"{kind}, each step", f"{kind}-faint", width=1, hover=".3f"),
            line_trace(series.steps, smooth, f"{kind}, averaged", kind, width=2, hover=".3f"),
        ]

    marks = {kind: marks_of(analysis, kind, hamming=True) for kind in kinds}
    titles = {kind: f"norm, {kind}" for kind in kinds}
    return _stacked(
        "norm",
        kinds,
        traces,
        marks,
        titles,
        analysis,
        rows={kind: (analysis.masks[kind].steps, analysis.masks[kind].norm) for kind in kinds},
        cursor=(0, 2),
    )


def statistic_plot(analysis: Analysis) -> Plot | None:
    """The detector's statistic at each check, against its threshold."""
    replay = analysis.replay
    if replay is None:
        return None
    kinds = [kind for kind, trace in replay.traces.items() if np.isfinite(trace.values).any()]

    def traces(kind: Kind) -> list[Spec]:
        trace = replay.traces[kind]
        line = line_trace(trace.steps, trace.values, f"{kind}, statistic", kind, width=1.5, hover=".3g")
        threshold = line_trace(
            np.array([0, analysis.recorded - 1]),
            np.full(2, replay.threshold),
            "threshold",
            "muted",
            width=1.5,
            dash="dash",
        )
        return [
            line | {"mode": "lines+markers", "marker": {"size": 5}},
            threshold | {"hoverinfo": "skip", "hovertemplate": None},
        ]

    values = np.concatenate([trace.values[np.isfinite(trace.values)] for trace in replay.traces.values()])
    low, high = (float(values.min()), float(values.max())) if len(values) else (1.0, 1.0)
    # A bound that falls over decades crosses its threshold visibly only on a logarithmic axis; a p-value that
    # has to rise above its own would fill that with 1e-40.
    logarithmic = replay.settled_below and low > 0 and 30 < high / low < 1e6
    plot = _stacked(
        "statistic",
        kinds,
        traces,
        {kind: marks_of(analysis, kind) for kind in kinds},
        {kind: f"statistic, {kind}" for kind in kinds},
        analysis,
        rows={kind: (replay.traces[kind].steps, replay.traces[kind].values) for kind in kinds},
        cursor=(0, 2),
    )
    if plot is not None and logarithmic:
        for row in range(len(kinds)):
            plot.spec["layout"][_axis("yaxis", row)] |= {"type": "log", **_decades(low, high)}
    return plot


def agreement_plot(analysis: Analysis) -> Plot | None:
    """Overlap with the last recorded mask, and captured."""
    kinds = [kind for kind in KINDS if kind in analysis.masks]

    def traces(kind: Kind) -> list[Spec]:
        series = analysis.masks[kind]
        return [
            line_trace(series.steps, series.captured, f"{kind}, captured", kind, width=2, hover=".3f"),
            line_trace(series.steps, series.overlap, f"{kind}, overlap", kind, width=1.5, dash="dot", hover=".3f"),
        ]

    columns: dict[str, tuple[NDArray[Any], NDArray[np.float64]]] = {}
    for kind in kinds:
        series = analysis.masks[kind]
        columns[f"{kind}, captured"] = (series.steps, series.captured)
        columns[f"{kind}, overlap"] = (series.steps, series.overlap)
    return _stacked(
        "agreement",
        kinds,
        traces,
        {kind: marks_of(analysis, kind) for kind in kinds},
        {kind: f"share, {kind}" for kind in kinds},
        analysis,
        rows=columns,
        cursor=(0, 1, 2, 3),
    )


def _stacked(
    name: str,
    kinds: Sequence[Kind],
    traces: Callable[[Kind], list[Spec]],
    marks: Mapping[Kind, list[Mark]],
    titles: Mapping[Kind, str],
    analysis: Analysis,
    *,
    rows: Mapping[Any, tuple[NDArray[Any], NDArray[np.float64]]],
    cursor: Sequence[int],
) -> Plot | None:
    """A row of axes per kind over one axis of steps, with room for each row's labels above it."""
    if not kinds:
        return None
    above = [LABEL * len(marks[kind]) + 10 for kind in kinds]
    inside = len(kinds) * ROW + sum(above[1:])
    layout = base_layout(above[0], hovermode="x unified")
    data: list[Spec] = []
    shapes: list[Spec] = []
    labels: list[Spec] = []
    top = float(inside)
    for row, kind in enumerate(kinds):
        if row:
            top -= above[row]
        suffix = "" if row == 0 else str(row + 1)
        data += [trace | {"xaxis": "x", "yaxis": f"y{suffix}"} for trace in traces(kind)]
        layout[_axis("yaxis", row)] = value_axis(titles[kind]) | {
            "domain": [max(0.0, (top - ROW) / inside), min(1.0, top / inside)],
            "anchor": "x",
        }
        lines, texts = marked(marks[kind], row, analysis)
        shapes += lines
        labels += texts
        top -= ROW
    # One axis for all rows, drawn below the last: the unified hover then reads all of them.
    last = "y" if len(kinds) == 1 else f"y{len(kinds)}"
    layout["xaxis"] = steps_axis(analysis) | {"anchor": last}
    layout["shapes"], layout["annotations"] = shapes, labels
    layout["hoversubplots"] = "axis"
    columns, table = small_table({str(key): value for key, value in rows.items()}, ".4g")
    spec = {
        "data": data,
        "layout": layout,
        "choices": [],
        "cursor": [index for index in cursor if index < len(data)],
    }
    return Plot(name, spec, above[0] + inside + 50, columns, table)


def _decades(low: float, high: float) -> Spec:
    """Ticks of a logarithmic axis written as plain numbers: 1, 2, 5 over few decades, powers of ten over many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    parts = (1, 2, 5) if last - first <= 3 else (1,)
    powers = range(first, last + 1, max(1, -(-(last - first) // 8)))
    ticks = [part * 10.0**power for power in powers for part in parts]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _axis(name: str, row: int) -> str:
    return name if row == 0 else f"{name}{row + 1}"
