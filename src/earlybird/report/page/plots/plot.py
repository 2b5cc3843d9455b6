"""An interactive plot as the plain data that plotly.js draws, and what all of them are made of.

Colours are written as `var(--name)`; the page's script puts in what its style sheet says, in light and in dark
mode. Nothing that comes from a file gets in here as text, only numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earlybird.report.analysis import Analysis
from earlybird.report.marks import Mark
from earlybird.report.palette import variable

Spec = dict[str, Any]
LABEL = 17  # pixels of one line of labels
ROW = 170  # pixels of one row of axes
_LATE = 0.5
_TABLE_ROWS = 11
_LEVELS = 2000


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        name: its id in the page.
        spec: plotly's `data` and `layout`, with `choices` (label -> indices of the traces shown), `cursor`
            (which of the traces shown the arrow keys read out) and, for a slider, `steps`: of each its `label` and
            either `cells`, rows of digits (trace i shows the cells with digit i, and `signs[i]` in them), or `x`, the
            values of each trace, or `moved`: trace -> the attributes that it has there; `start` is the one shown first.
        height: pixels.
        columns, rows: the same numbers as a small table.
    """

    name: str
    spec: Spec
    height: int
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def line_trace(
    steps: NDArray[Any],
    values: NDArray[np.float64],
    name: str,
    colour: str,
    *,
    width: float,
    dash: str = "solid",
    hover: str = ".3g",
) -> Spec:
    """A line over steps; `dash` and `hover` (a format of d3) as plotly names them."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": steps.tolist(),
        "y": rounded(values),
        "name": name,
        "line": {"color": variable(colour), "width": width, "dash": dash},
        "hovertemplate": f"{name} %{{y:{hover}}}<extra></extra>",
        "showlegend": False,
    }


def rounded(values: NDArray[np.float64]) -> list[float | None]:
    """Values (n,) as short as a plot can show them: to a two-thousandth of their range, and to three digits.

    Where all are equal, to seven digits. What is not finite is None, a gap in the line.
    """
    shown = values[np.isfinite(values)]
    span = float(np.ptp(shown)) if len(shown) else 0.0
    of_range, digits = (math.ceil(-math.log10(span / _LEVELS)), 3) if span > 0 else (0, 7)

    def short(value: float) -> float | None:
        if not math.isfinite(value):
            return None
        of_value = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
        return round(value, max(of_range, of_value))

    return [short(value) for value in values.tolist()]


def base_layout(top: int, *, hovermode: str) -> Spec:
    """The layout that all plots share, with so many pixels above the axes."""
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


def value_axis(title: str) -> Spec:
    """An axis that steps back behind the data."""
    return {
        "title": {"text": title, "font": {"size": 13, "color": variable("muted")}, "standoff": 6},
        "gridcolor": variable("grid"),
        "zeroline": False,
        "linecolor": variable("line"),
        "tickfont": {"size": 12, "color": variable("muted")},
        "nticks": 6,
        "exponentformat": "none",
    }


def steps_axis(analysis: Analysis) -> Spec:
    """The axis of the recorded steps."""
    last = max(1, analysis.recorded - 1)
    return value_axis("step") | {
        "range": [-0.01 * last, 1.01 * last],
        "tickformat": ",d",
        "nticks": 7,
        "unifiedhovertitle": {"text": "step %{x:,}"},
    }


def layer_axis(layers: int) -> Spec:
    """The axis of a row per layer, the first on top."""
    return value_axis("layer") | {
        "autorange": "reversed",
        "showgrid": False,
        "dtick": max(1, -(-layers // 24)),
        "tick0": 0,
    }


def layers_height(layers: int) -> int:
    """Pixels of a plot with a row per layer."""
    return 8 + 50 + max(90, layers * (34 if layers <= 12 else 20))


def marked(marks: Sequence[Mark], row: int, analysis: Analysis) -> tuple[list[Spec], list[Spec]]:
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
                "y1": 1 + LABEL * (len(marks) - 1 - level) / ROW,
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
                "yshift": LABEL * (len(marks) - 1 - level),
                "showarrow": False,
                # A line that crosses a label goes behind it.
                "bgcolor": variable("ground"),
                "borderpad": 0,
                "font": {"color": variable(colour), "size": 12},
            }
        )
    return lines, labels


def small_table(
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
