"""The slope of the masks' nuclear norm in a window that slides over the steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.report.figures.figure_with_data import FigureWithData
from earlybird.report.figures.norm import norms
from earlybird.report.figures.record import Record
from earlybird.report.figures.style import mark_draw, plain, titled_figure
from earlybird.report.palette import LIGHT
from earlybird.stationarity.least_squares import TimeTrend

_WINDOW = 0.1  # of the recorded steps


def slopes(record: Record) -> FigureWithData | None:
    """Least-squares drift of the norm over the window, in % of the window's mean; None for 25 steps or fewer."""
    window = round(_WINDOW * record.trajectory.steps)
    if window < 3:
        return None
    steps = np.arange(window - 1, record.trajectory.steps)
    drifts = {kind: relative_drifts(norms(record, kind), window) for kind in record.kinds}
    figure = titled_figure(
        f"{record.name}: drift of the nuclear norm over the last {window:,} steps", 0.8 + 2.0 * len(drifts)
    )
    grid = figure.subplots(len(drifts), 1, squeeze=False, sharex=True)
    for axes, (kind, values) in zip(grid.flat, drifts.items(), strict=True):
        plain(axes, steps=True)
        axes.axhline(0, color=LIGHT["muted"], linewidth=1)
        axes.plot(steps, 100 * values, color=LIGHT[kind], linewidth=1.2)
        mark_draw(axes, record.analysis.draw_step)
        axes.set_ylabel(f"{kind}, drift in %", color=LIGHT[kind])
    grid[-1, 0].set_xlabel("last step of the window", color=LIGHT["muted"])
    rows = ((step, *(f"{values[position]:.6g}" for values in drifts.values())) for position, step in enumerate(steps))
    return FigureWithData(figure, ("step", *drifts), rows)


def relative_drifts(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Slope times the window's length over the window's mean, for each window of (n,) -> (n - window + 1,)."""
    views = np.lib.stride_tricks.sliding_window_view(values, window)
    return np.array([TimeTrend.fit(view).slope * (window - 1) / view.mean() for view in views])
