"""The scores of one unit with the lines of its windows, and the p-value of each window's slope; units can be chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from earlybird.report.analysis import Analysis
from earlybird.report.marks import marks_of
from earlybird.report.page.plots.p_values import P_RANGE, p_value_trace
from earlybird.report.page.plots.plot import Plot, Spec, line_trace, rounded
from earlybird.report.page.plots.stacked import axis_of, stacked
from earlybird.report.page.plots.threshold import threshold_trace
from earlybird.report.palette import variable
from earlybird.report.series import sampled_steps
from earlybird.report.sliding_regressions import THRESHOLD
from earlybird.report.unit_regressions import UnitRegressions
from earlybird.vocabulary import Score

_POINTS = 120  # of each unit, beside those of the checks


def unit_regressions_plot(analysis: Analysis, units: Sequence[UnitRegressions], score: Score) -> Plot | None:
    """Two rows, for the unit that is chosen among `units`, the first of them at first; None where there is none."""
    if not units:
        return None
    kind = units[0].unit.kind
    checks = units[0].found.ends
    steps = sampled_steps(analysis.recorded, _POINTS + len(checks), set(checks.tolist()))

    def traces(row: str) -> list[Spec]:
        if row == "p":
            found = [p_value_trace(one.found.ends, one.found.p, kind) for one in units]
            return [*(trace | {"visible": not place} for place, trace in enumerate(found)), threshold]
        return [
            trace | {"visible": not place}
            for place, one in enumerate(units)
            for trace in (line_trace(steps, one.values[steps], score, kind, width=1.2, hover=".5g"), _lines(one))
        ]

    threshold = threshold_trace(THRESHOLD, analysis)
    first = units[0]
    plot = stacked(
        "unit-regressions",
        ["score", "p"],
        traces,
        {"score": marks_of(analysis, kind), "p": []},
        {"score": score, "p": "p of the slope"},
        analysis,
        rows={f"{score}, {first.unit}": (checks, first.values[checks]), "p": (checks, first.found.p)},
        cursor=(0, 2),  # of those shown: scores, lines, p-values, threshold
    )
    assert plot is not None
    if len(units) > 1:
        lines, p_values = range(0, 2 * len(units), 2), range(2 * len(units), 3 * len(units))
        plot.spec["choices"] = [
            {"label": str(one.unit), "traces": [line, line + 1, p, 3 * len(units)]}
            for one, line, p in zip(units, lines, p_values, strict=True)
        ]
    plot.spec["layout"][axis_of("yaxis", 0)]["exponentformat"] = "e"
    plot.spec["layout"][axis_of("yaxis", 1)]["range"] = list(P_RANGE)
    return plot


def _lines(one: UnitRegressions) -> Spec:
    """The lines of windows that do not overlap, the last one among them, as one trace with gaps."""
    found = one.found
    stride = -(-found.windows.length // found.windows.every)
    chosen = np.arange(len(found.ends) - 1, -1, -stride)[::-1]
    x: list[int | None] = []
    for end in found.ends[chosen].tolist():
        x += [end + 1 - found.windows.length, end, None]
    heights = np.column_stack([found.lines[chosen], np.full(len(chosen), np.nan)])
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": rounded(heights.ravel()),
        "line": {"color": variable("ink"), "width": 2.5},
        "hoverinfo": "skip",
    }
