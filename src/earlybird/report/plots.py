"""The interactive plots, as the plain data that plotly.js draws.

Colours are written as `var(--name)`; the page's script puts in what its style sheet says, in light and in dark
mode. Nothing that comes from a file gets in here as text, only numbers.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earlybird.report.analysis import Analysis
from earlybird.report.coefficients import CoefficientLines, CoefficientQuantiles
from earlybird.report.marks import Mark, marks_of
from earlybird.report.palette import variable
from earlybird.report.series import moving_average
from earlybird.ticket import Ticket
from earlybird.trajectory import KINDS, Kind

Spec = dict[str, Any]
_LATE = 0.5
_LABEL = 17  # pixels of one line of labels
_ROW = 170  # pixels of one row of axes
_TABLE_ROWS = 11


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        name: its id in the page.
        spec: plotly's `data` and `layout`, with `choices` (label -> indices of the traces shown) and `cursor`
            (indices of the traces that the arrow keys read out).
        height: pixels.
        columns, rows: the same numbers as a small table.
    """

    name: str
    spec: Spec
    height: int
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def norm_plot(analysis: Analysis) -> Plot | None:
    """The nuclear norm of each kind's masks."""
    kinds = [kind for kind in KINDS if kind in analysis.masks]

    def traces(kind: Kind) -> list[Spec]:
        series = analysis.masks[kind]
        smooth = moving_average(series.norm, max(3, len(series.steps) // 50))
        return [
            _line(series.steps, series.norm, f"{kind}, each step", f"{kind}-faint", width=1, hover=".3f"),
            _line(series.steps, smooth, f"{kind}, averaged", kind, width=2, hover=".3f"),
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
        line = _line(trace.steps, trace.values, f"{kind}, statistic", kind, width=1.5, hover=".3g")
        threshold = _line(
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
            _line(series.steps, series.captured, f"{kind}, captured", kind, width=2, hover=".3f"),
            _line(series.steps, series.overlap, f"{kind}, overlap", kind, width=1.5, dash="dot", hover=".3f"),
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


def coefficients_plot(analysis: Analysis, kind: Kind) -> Plot | None:
    """One kind's coefficients: a line for each, or quantiles; a layer can be chosen."""
    values = analysis.coefficients.get(kind)
    if values is None:
        return None
    if isinstance(values, CoefficientLines):
        data, choices = _lines(kind, values)
        flat = np.concatenate([values.values[:, layer, :count] for layer, count in enumerate(values.units)], axis=1)
        sources = {
            "lowest": (values.steps, flat.min(1)),
            "median": (values.steps, np.median(flat, 1)),
            "highest": (values.steps, flat.max(1)),
        }
        cursor: list[int] = []
    else:
        data, choices = _bands(kind, values)
        names = ("lowest", "5%", "25%", "median", "75%", "95%", "highest")
        sources = {name: (values.steps, values.values[0, row]) for row, name in enumerate(names)}
        cursor = [0, 3, 6]
    marks = marks_of(analysis, kind)
    top = _LABEL * len(marks) + 8
    layout = _layout(top, hovermode="closest" if not cursor else "x unified")
    layout["xaxis"] = _steps_axis(analysis) | {"anchor": "y"}
    layout["yaxis"] = _value_axis(f"coefficient, {kind}") | {"anchor": "x"}
    layout["shapes"], layout["annotations"] = _marked(marks, 0, analysis)
    columns, rows = _small_table(sources, ".5f")
    spec = {"data": data, "layout": layout, "choices": choices, "cursor": cursor}
    return Plot(f"coefficients-{kind}", spec, top + 260 + 50, columns, rows)


def survivors_plot(ticket: Ticket, kind: Kind) -> Plot | None:
    """Which units of each layer are kept: each head, or the share of the neurons."""
    if kind not in ticket.masks:
        return None
    units, kept = ticket.units[kind], ticket.kept(kind)
    layers = len(units)
    names = [f"layer {layer}" for layer in range(layers)]
    layout = _layout(8, hovermode="closest")
    layout["yaxis"] = _value_axis("layer") | {
        "autorange": "reversed",
        "showgrid": False,
        "dtick": max(1, -(-layers // 24)),
        "tick0": 0,
    }
    if kind == "heads" and max(units) <= 128:
        mask = np.where(
            np.arange(max(units)) < np.asarray(units)[:, None], ticket.masks[kind].astype(np.float64), np.nan
        )
        words = [["kept" if value else "pruned" for value in row] for row in ticket.masks[kind]]
        data: list[Spec] = [
            {
                "type": "heatmap",
                "z": [[None if np.isnan(value) else int(value) for value in row] for row in mask],
                "text": words,
                "colorscale": [[0, variable("pruned")], [1, variable(kind)]],
                "zmin": 0,
                "zmax": 1,
                "showscale": False,
                "xgap": 3,
                "ygap": 3,
                "hoverongaps": False,
                "hovertemplate": "layer %{y}, head %{x}: %{text}<extra></extra>",
            }
        ]
        layout["xaxis"] = _value_axis("head") | {
            "showgrid": False,
            "dtick": max(1, -(-max(units) // 16)),
            "tick0": 0,
        }
    else:
        share = [100 * count / total for count, total in zip(kept, units, strict=True)]
        data = [
            {
                "type": "bar",
                "orientation": "h",
                "x": share,
                "y": list(range(layers)),
                "marker": {"color": variable(kind)},
                "text": [f"{value:.0f}%" for value in share],
                "textposition": "auto",
                "customdata": [[count, total] for count, total in zip(kept, units, strict=True)],
                "hovertemplate": "layer %{y}: %{customdata[0]} of %{customdata[1]} kept<extra></extra>",
            }
        ]
        layout["xaxis"] = _value_axis(f"kept share of the {kind}") | {"range": [0, 100], "ticksuffix": "%"}
        layout["bargap"] = 0.25
    height = 8 + 50 + max(90, layers * (34 if layers <= 12 else 20))
    rows = tuple((name, f"{count:,}", f"{total:,}") for name, count, total in zip(names, kept, units, strict=True))
    spec = {"data": data, "layout": layout, "choices": [], "cursor": []}
    return Plot(f"survivors-{kind}", spec, height, ("layer", f"{kind} kept", "of"), rows)


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
    above = [_LABEL * len(marks[kind]) + 10 for kind in kinds]
    inside = len(kinds) * _ROW + sum(above[1:])
    layout = _layout(above[0], hovermode="x unified")
    data: list[Spec] = []
    shapes: list[Spec] = []
    labels: list[Spec] = []
    top = float(inside)
    for row, kind in enumerate(kinds):
        if row:
            top -= above[row]
        suffix = "" if row == 0 else str(row + 1)
        data += [trace | {"xaxis": "x", "yaxis": f"y{suffix}"} for trace in traces(kind)]
        layout[_axis("yaxis", row)] = _value_axis(titles[kind]) | {
            "domain": [max(0.0, (top - _ROW) / inside), min(1.0, top / inside)],
            "anchor": "x",
        }
        lines, texts = _marked(marks[kind], row, analysis)
        shapes += lines
        labels += texts
        top -= _ROW
    # One axis for all rows, drawn below the last: the unified hover then reads all of them.
    last = "y" if len(kinds) == 1 else f"y{len(kinds)}"
    layout["xaxis"] = _steps_axis(analysis) | {"anchor": last}
    layout["shapes"], layout["annotations"] = shapes, labels
    layout["hoversubplots"] = "axis"
    columns, table = _small_table({str(key): value for key, value in rows.items()}, ".4g")
    spec = {
        "data": data,
        "layout": layout,
        "choices": [],
        "cursor": [index for index in cursor if index < len(data)],
    }
    return Plot(name, spec, above[0] + inside + 50, columns, table)


def _marked(marks: Sequence[Mark], row: int, analysis: Analysis) -> tuple[list[Spec], list[Spec]]:
    """Vertical lines in one row, and their labels above it, one line of text each."""
    styles = {"draw": ("solid", "ink"), "settled": ("dot", "ink"), "hamming": ("dash", "muted")}
    domain = f"y{'' if row == 0 else row + 1} domain"
    lines: list[Spec] = []
    labels: list[Spec] = []
    for level, mark in enumerate(marks):
        dash, colour = styles[mark.role]
        late = mark.step > _LATE * analysis.recorded
        lines.append(
            {
                "type": "line",
                "x0": mark.step,
                "x1": mark.step,
                "y0": 0,
                # Up to the foot of its label.
                "y1": 1 + _LABEL * (len(marks) - 1 - level) / _ROW,
                "xref": "x",
                "yref": domain,
                "line": {"color": variable(colour), "width": 1.5, "dash": dash},
            }
        )
        labels.append(
            {
                "text": mark.text,
                "x": mark.step,
                "y": 1,
                "xref": "x",
                "yref": domain,
                "xanchor": "right" if late else "left",
                "yanchor": "bottom",
                "yshift": _LABEL * (len(marks) - 1 - level),
                "showarrow": False,
                # A line that crosses a label goes behind it.
                "bgcolor": variable("ground"),
                "borderpad": 0,
                "font": {"color": variable(colour), "size": 12},
            }
        )
    return lines, labels


def _lines(kind: Kind, values: CoefficientLines) -> tuple[list[Spec], list[Spec]]:
    data: list[Spec] = []
    by_layer: dict[str, list[int]] = {}
    steps = _packed(values.steps.astype(np.int32))
    unit = kind.removesuffix("s")
    for layer, count in enumerate(values.units):
        for position in range(count):
            by_layer.setdefault(f"layer {layer}", []).append(len(data))
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": steps,
                    "y": _packed(values.values[:, layer, position].astype(np.float32)),
                    "name": f"layer {layer}",
                    "legendgroup": f"layer {layer}",
                    "showlegend": position == 0,
                    "line": {"color": variable(f"layer-{layer}"), "width": 1.2},
                    "hovertemplate": f"layer {layer}, {unit} {position}<br>step %{{x:,}}: %{{y:.5f}}<extra></extra>",
                }
            )
    return data, _choices(by_layer, everything=list(range(len(data))))


def _bands(kind: Kind, values: CoefficientQuantiles) -> tuple[list[Spec], list[Spec]]:
    """Seven traces per choice of layer, filled pairwise; only those of all layers are visible at first."""
    names = ("lowest", "5%", "25%", "median", "75%", "95%", "highest")
    fills = (None, "band-wide", "band", "band-strong", "band-strong", "band", "band-wide")
    data: list[Spec] = []
    by_layer: dict[str, list[int]] = {}
    steps = _packed(values.steps.astype(np.int32))
    for choice, quantiles in enumerate(values.values):
        label = "all layers" if choice == 0 else f"layer {choice - 1}"
        for name, fill, line in zip(names, fills, quantiles, strict=True):
            by_layer.setdefault(label, []).append(len(data))
            middle = name == "median"
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": steps,
                    "y": _packed(line.astype(np.float32)),
                    "name": name,
                    "visible": choice == 0,
                    "showlegend": False,
                    "line": {"color": variable(kind), "width": 2 if middle else 0.6},
                    "hovertemplate": f"{name} %{{y:.5f}}<extra></extra>",
                    **({"fill": "tonexty", "fillcolor": variable(fill)} if fill else {}),
                }
            )
    first = by_layer.pop("all layers")
    return data, _choices(by_layer, everything=first)


def _choices(by_layer: Mapping[str, list[int]], *, everything: list[int]) -> list[Spec]:
    if len(by_layer) < 2:
        return []
    return [
        {"label": "all layers", "traces": everything},
        *({"label": label, "traces": traces} for label, traces in by_layer.items()),
    ]


def _line(
    steps: NDArray[Any],
    values: NDArray[np.float64],
    name: str,
    colour: str,
    *,
    width: float,
    dash: str = "solid",
    hover: str = ".3g",
) -> Spec:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": _packed(steps.astype(np.int32)),
        "y": _packed(values.astype(np.float32)),
        "name": name,
        "line": {"color": variable(colour), "width": width, "dash": dash},
        "hovertemplate": f"{name} %{{y:{hover}}}<extra></extra>",
        "showlegend": False,
    }


def _packed(values: NDArray[np.int32] | NDArray[np.float32]) -> Spec:
    """Numbers the short way that plotly.js reads: a quarter of their decimal text."""
    kind = {"int32": "i4", "float32": "f4"}[values.dtype.name]
    little = np.ascontiguousarray(values, dtype=f"<{kind}")
    return {"dtype": kind, "bdata": base64.b64encode(little.tobytes()).decode()}


def _layout(top: int, *, hovermode: str) -> Spec:
    return {
        "autosize": True,
        "margin": {"l": 62, "r": 24, "t": top, "b": 50},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {
            "family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
            "size": 13,
            "color": variable("ink"),
        },
        "hovermode": hovermode,
        "hoverlabel": {
            "bgcolor": variable("surface"),
            "bordercolor": variable("line"),
            "font": {"color": variable("ink"), "size": 13},
        },
        "showlegend": False,
    }


def _value_axis(title: str) -> Spec:
    return {
        "title": {"text": title, "font": {"size": 13, "color": variable("muted")}, "standoff": 6},
        "gridcolor": variable("grid"),
        "zeroline": False,
        "linecolor": variable("line"),
        "tickfont": {"size": 12, "color": variable("muted")},
        "nticks": 6,
        "exponentformat": "none",
    }


def _steps_axis(analysis: Analysis) -> Spec:
    last = max(1, analysis.recorded - 1)
    return _value_axis("step") | {
        "range": [-0.01 * last, 1.01 * last],
        "tickformat": ",d",
        "nticks": 7,
        "unifiedhovertitle": {"text": "step %{x:,}"},
    }


def _decades(low: float, high: float) -> Spec:
    """Ticks of a logarithmic axis written as plain numbers: 1, 2, 5 over few decades, powers of ten over many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    parts = (1, 2, 5) if last - first <= 3 else (1,)
    powers = range(first, last + 1, max(1, -(-(last - first) // 8)))
    ticks = [part * 10.0**power for power in powers for part in parts]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _axis(name: str, row: int) -> str:
    return name if row == 0 else f"{name}{row + 1}"


def _small_table(
    sources: Mapping[str, tuple[NDArray[Any], NDArray[np.float64]]], form: str
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """A few evenly spaced steps of each series as text; the first series gives the steps."""
    steps = next(iter(sources.values()))[0]
    if len(steps) == 0:
        return ("step",), ()
    shown = np.unique(steps[np.linspace(0, len(steps) - 1, min(_TABLE_ROWS, len(steps))).round().astype(int)])
    rows = []
    for step in shown:
        cells = [f"{int(step):,}"]
        for own_steps, values in sources.values():
            at = np.flatnonzero(own_steps == step)
            value = float(values[at[0]]) if len(at) else np.nan
            cells.append(format(value, form) if np.isfinite(value) else "\N{EN DASH}")
        rows.append(tuple(cells))
    return ("step", *sources), tuple(rows)
