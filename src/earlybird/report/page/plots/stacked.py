"""A plot of rows over one axis of steps, one for each kind of unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earlybird.report.analysis import Analysis
from earlybird.report.marks import Mark
from earlybird.report.page.plots.plot import (
    LABEL,
    ROW,
    Plot,
    Spec,
    base_layout,
    marked,
    small_table,
    steps_axis,
    value_axis,
)
from earlybird.vocabulary import Kind


def stacked(
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
        layout[axis_of("yaxis", row)] = value_axis(titles[kind]) | {
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


def axis_of(name: str, row: int) -> str:
    """Plotly's name of a row's axis."""
    return name if row == 0 else f"{name}{row + 1}"
