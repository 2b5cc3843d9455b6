"""A plot of rows over one axis of steps, one for each kind of unit or each quantity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

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

_Row = TypeVar("_Row", bound=str)


def stacked(
    name: str,
    keys: Sequence[_Row],
    traces: Callable[[_Row], list[Spec]],
    marks: Mapping[_Row, list[Mark]],
    titles: Mapping[_Row, str],
    analysis: Analysis,
    *,
    rows: Mapping[Any, tuple[NDArray[Any], NDArray[np.float64]]],
    cursor: Sequence[int],
) -> Plot | None:
    """A row of axes per key over one axis of steps, with room for each row's labels above it."""
    if not keys:
        return None
    above = [LABEL * len(marks[key]) + 10 for key in keys]
    inside = len(keys) * ROW + sum(above[1:])
    layout = base_layout(above[0], hovermode="x unified")
    data: list[Spec] = []
    shapes: list[Spec] = []
    labels: list[Spec] = []
    top = float(inside)
    for row, key in enumerate(keys):
        if row:
            top -= above[row]
        suffix = "" if row == 0 else str(row + 1)
        data += [trace | {"xaxis": "x", "yaxis": f"y{suffix}"} for trace in traces(key)]
        layout[axis_of("yaxis", row)] = value_axis(titles[key]) | {
            "domain": [max(0.0, (top - ROW) / inside), min(1.0, top / inside)],
            "anchor": "x",
        }
        lines, texts = marked(marks[key], row, analysis)
        shapes += lines
        labels += texts
        top -= ROW
    # One axis for all rows, drawn below the last: the unified hover then reads all of them.
    last = "y" if len(keys) == 1 else f"y{len(keys)}"
    layout["xaxis"] = steps_axis(analysis) | {"anchor": last}
    layout["shapes"], layout["annotations"] = shapes, labels
    layout["hoversubplots"] = "axis"
    columns, table = small_table({str(name): value for name, value in rows.items()}, ".4g")
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
