"""The coefficients over the steps: a line for each, or quantiles where there are too many."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from earlybird.report.analysis import Analysis
from earlybird.report.coefficients import CoefficientLines, CoefficientQuantiles
from earlybird.report.marks import marks_of
from earlybird.report.page.plots.plot import (
    LABEL,
    Plot,
    Spec,
    base_layout,
    marked,
    rounded,
    small_table,
    steps_axis,
    value_axis,
)
from earlybird.report.palette import variable
from earlybird.vocabulary import Kind


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
    top = LABEL * len(marks) + 8
    layout = base_layout(top, hovermode="closest" if not cursor else "x unified")
    layout["xaxis"] = steps_axis(analysis) | {"anchor": "y"}
    layout["yaxis"] = value_axis(f"coefficient, {kind}") | {"anchor": "x"}
    layout["shapes"], layout["annotations"] = marked(marks, 0, analysis)
    columns, rows = small_table(sources, ".5f")
    spec = {"data": data, "layout": layout, "choices": choices, "cursor": cursor}
    return Plot(f"coefficients-{kind}", spec, top + 260 + 50, columns, rows)


def _lines(kind: Kind, values: CoefficientLines) -> tuple[list[Spec], list[Spec]]:
    data: list[Spec] = []
    by_layer: dict[str, list[int]] = {}
    steps = values.steps.tolist()
    unit = kind.removesuffix("s")
    for layer, count in enumerate(values.units):
        for position in range(count):
            by_layer.setdefault(f"layer {layer}", []).append(len(data))
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": steps,
                    "y": rounded(values.values[:, layer, position]),
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
    steps = values.steps.tolist()
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
                    "y": rounded(line),
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
