"""The scores of one unit in two states, and how probable the quieter one is."""

from __future__ import annotations

import numpy as np

from earlybird.report.analysis import Analysis
from earlybird.report.marks import marks_of
from earlybird.report.page.plots.p_values import P_RANGE
from earlybird.report.page.plots.plot import Plot, Spec, line_trace, rounded
from earlybird.report.page.plots.stacked import axis_of, stacked
from earlybird.report.palette import variable
from earlybird.report.unit_states import UnitStates
from earlybird.vocabulary import Score


def unit_states_plot(analysis: Analysis, found: UnitStates, score: Score) -> Plot:
    """Faint the whole series, strong where the quieter state is the more probable; below its probability."""
    kind = found.unit.kind

    def traces(row: str) -> list[Spec]:
        if row == "probability":
            quiet = np.round(found.quiet, 3)
            return [line_trace(found.steps[1:], quiet, "probability of the quieter state", kind, width=1.5)]
        return [
            line_trace(found.steps, found.values, score, f"{kind}-faint", width=3, hover=".5g"),
            _quiet(found),
        ]

    plot = stacked(
        "unit-states",
        ["score", "probability"],
        traces,
        {"score": marks_of(analysis, kind), "probability": []},
        {"score": score, "probability": "P(quieter)"},
        analysis,
        rows={
            f"{score}, {found.unit}": (found.steps, found.values),
            "probability of the quieter state": (found.steps[1:], found.quiet),
        },
        cursor=(0, 2),
    )
    assert plot is not None
    plot.spec["layout"][axis_of("yaxis", 0)]["exponentformat"] = "e"
    plot.spec["layout"][axis_of("yaxis", 1)]["range"] = list(P_RANGE)
    return plot


def _quiet(found: UnitStates) -> Spec:
    x: list[int | None] = []
    y: list[float] = []
    for run in found.quiet_runs:
        x += [*found.steps[run].tolist(), None]
        y += [*found.values[run].tolist(), np.nan]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": rounded(np.array(y)),
        "line": {"color": variable(found.unit.kind), "width": 2},
        "hoverinfo": "skip",
    }
