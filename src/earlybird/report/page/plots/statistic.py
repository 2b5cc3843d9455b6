"""The detector's statistic at each of its checks, against its threshold."""

from __future__ import annotations

import math

import numpy as np

from earlybird.report.analysis import Analysis
from earlybird.report.marks import marks_of
from earlybird.report.page.plots.plot import Plot, Spec, line_trace
from earlybird.report.page.plots.stacked import axis_of, stacked
from earlybird.report.page.plots.threshold import threshold_trace
from earlybird.vocabulary import Kind


def statistic_plot(analysis: Analysis) -> Plot | None:
    """The detector's statistic at each check, against its threshold."""
    replay = analysis.replay
    if replay is None:
        return None
    kinds = [kind for kind, trace in replay.traces.items() if np.isfinite(trace.values).any()]

    def traces(kind: Kind) -> list[Spec]:
        trace = replay.traces[kind]
        line = line_trace(trace.steps, trace.values, f"{kind}, statistic", kind, width=1.5, hover=".3g")
        line |= {"mode": "lines+markers", "marker": {"size": 5}}
        if replay.threshold is None:
            return [line]
        return [line, threshold_trace(replay.threshold, analysis)]

    values = np.concatenate([trace.values[np.isfinite(trace.values)] for trace in replay.traces.values()])
    low, high = (float(values.min()), float(values.max())) if len(values) else (1.0, 1.0)
    # A bound that falls over decades crosses its threshold visibly only on a logarithmic axis; a p-value that
    # has to rise above its own would fill that with 1e-40.
    logarithmic = replay.settled_below and low > 0 and 30 < high / low < 1e6
    plot = stacked(
        "statistic",
        kinds,
        traces,
        {kind: marks_of(analysis, kind) for kind in kinds},
        {kind: f"statistic, {kind}" for kind in kinds},
        analysis,
        rows={kind: (replay.traces[kind].steps, replay.traces[kind].values) for kind in kinds},
        cursor=(0, 1) if replay.threshold is None else (0, 2),
    )
    if plot is not None and logarithmic:
        for row in range(len(kinds)):
            plot.spec["layout"][axis_of("yaxis", row)] |= {"type": "log", **_decades(low, high)}
    return plot


def _decades(low: float, high: float) -> Spec:
    """Ticks of a logarithmic axis written as plain numbers: 1, 2, 5 over few decades, powers of ten over many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    parts = (1, 2, 5) if last - first <= 3 else (1,)
    powers = range(first, last + 1, max(1, -(-(last - first) // 8)))
    ticks = [part * 10.0**power for power in powers for part in parts]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
