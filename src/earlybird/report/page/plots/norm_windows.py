"""The nuclear norm with the window that moves over it, and a slider that moves it."""

from __future__ import annotations

import numpy as np

from earlybird.report.analysis import Analysis
from earlybird.report.marks import marks_of
from earlybird.report.p_value_words import p_in_words
from earlybird.report.page.plots.p_values import P_RANGE, p_value_trace
from earlybird.report.page.plots.plot import Plot, Spec, line_trace, rounded
from earlybird.report.page.plots.stacked import axis_of, stacked
from earlybird.report.page.plots.threshold import threshold_trace
from earlybird.report.palette import variable
from earlybird.report.series import MOST_MASKS, sampled_steps
from earlybird.report.sliding_regressions import THRESHOLD, SlidingRegressions
from earlybird.vocabulary import Kind

# The traces that the slider moves, by their place.
_WINDOW, _LINE, _POINT = 0, 2, 4
_POINTS = 400  # of the norm; the plot before has all


def norm_windows_plot(analysis: Analysis, kind: Kind, found: SlidingRegressions) -> Plot:
    """The averaged norm of a kind's masks, a window with its line, and below the p-values of all windows' lines.

    Args:
        analysis: of the run.
        kind: of the masks.
        found: the windows over `analysis.masks[kind].norm`.
    """
    steps = analysis.masks[kind].steps
    checks = steps[found.ends]
    shown = found.smoothed[np.isfinite(found.smoothed)]
    margin = 0.05 * float(np.ptp(shown)) or 0.5
    points = sampled_steps(len(steps), _POINTS)
    bounds = float(shown.min()) - margin, float(shown.max()) + margin

    def traces(row: str) -> list[Spec]:
        if row == "p":
            point: Spec = {"type": "scatter", "mode": "markers", "x": [], "y": [], "hoverinfo": "skip"}
            point |= {"marker": {"size": 11, "color": variable("ink")}}
            return [p_value_trace(checks, found.p, kind), point, threshold_trace(THRESHOLD, analysis)]
        window: Spec = {"type": "scatter", "mode": "none", "x": [], "y": [], "hoverinfo": "skip"}
        window |= {"fill": "toself", "fillcolor": variable(f"{kind}-faint"), "opacity": 0.5}
        line: Spec = {"type": "scatter", "mode": "lines", "x": [], "y": [], "hoverinfo": "skip"}
        line |= {"line": {"color": variable("ink"), "width": 2.5}}
        averaged = line_trace(steps[points], found.smoothed[points], f"{kind}, averaged", kind, width=2, hover=".3f")
        return [window, averaged, line]

    plot = stacked(
        f"norm-windows-{kind}",
        ["norm", "p"],
        traces,
        {"norm": marks_of(analysis, kind), "p": []},
        {"norm": f"norm, {kind}", "p": "p of the slope"},
        analysis,
        rows={"norm, averaged": (checks, found.smoothed[found.ends]), "p": (checks, found.p)},
        cursor=(),
    )
    assert plot is not None
    plot.spec["layout"][axis_of("yaxis", 0)]["range"] = list(bounds)
    plot.spec["layout"][axis_of("yaxis", 1)]["range"] = list(P_RANGE)
    chosen = sampled_steps(len(checks), MOST_MASKS)
    plot.spec["steps"] = [_step(analysis, kind, found, int(check), bounds) for check in chosen]
    drawn = analysis.draw_step
    start = len(chosen) - 1 if drawn is None else int(np.searchsorted(checks[chosen], drawn))
    plot.spec["start"] = min(start, len(chosen) - 1)
    return plot


def _step(analysis: Analysis, kind: Kind, found: SlidingRegressions, check: int, bounds: tuple[float, float]) -> Spec:
    """What the slider shows at one check."""
    steps, end = analysis.masks[kind].steps, int(found.ends[check])
    first, last = int(steps[end + 1 - found.windows.length]), int(steps[end])
    low, high = rounded(np.array(bounds))
    p = float(found.p[check])
    moved = {
        _WINDOW: {"x": [first, last, last, first], "y": [low, low, high, high]},
        _LINE: {"x": [first, last], "y": np.round(found.lines[check], 5).tolist()},
        _POINT: {"x": [last], "y": [None if np.isnan(p) else round(p, 3)]},
    }
    label = f"{last:,} ({analysis.percent(last):.1f}%), {p_in_words(p)}"
    return {"label": label, "moved": {str(index): entry for index, entry in moved.items()}}
