"""The window that moves over the nuclear norm, one plot for each kind."""

from __future__ import annotations

import numpy as np

from earlybird.errors import InputError
from earlybird.report.analysis import Analysis
from earlybird.report.page.frames import framed
from earlybird.report.page.markup import Markup
from earlybird.report.page.plots.norm_windows import norm_windows_plot
from earlybird.report.page.plots.plot import Plot
from earlybird.report.run import Run
from earlybird.report.sliding_regressions import THRESHOLD, SlidingRegressions, Windows, windows_of
from earlybird.vocabulary import KINDS


def norm_windows(run: Run, analysis: Analysis, plots: list[Plot]) -> list[Markup]:
    """The plots, added to `plots` too; [] where fewer steps are recorded than the first window needs."""
    if run.trajectory is None or run.search is None:
        return []
    parts: list[Markup] = []
    for kind in KINDS:
        if kind not in analysis.masks:
            continue
        series = analysis.masks[kind]
        try:
            windows = windows_of(run.trajectory, run.search, kind)
        except InputError:
            continue  # said where the detector is run again
        found = SlidingRegressions.of(series.norm, windows.of_points(analysis.recorded, len(series.steps)))
        if found is not None:
            plot = norm_windows_plot(analysis, kind, found)
            plots.append(plot)
            text = _caption(windows, analysis.recorded, len(series.steps))
            if np.isnan(found.p).any():
                text += " A gap in it: the window was exactly constant, which counts as settled."
            parts.append(framed(plot, f"A window that moves over the norm of the {kind}", text))
    return parts


def _caption(windows: Windows, steps: int, points: int) -> str:
    average = f"the norm averaged over {windows.smoothing:,} steps" if windows.smoothing > 1 else "the norm"
    text = (
        f"Above, {average}, and shaded the window of {windows.length:,} steps that a test sees at the chosen check,"
        " with its least-squares line; below, the p-value of the slope at each check."
        f" Dashed: {THRESHOLD:g}, above which no trend can be shown: the published rule."
    )
    if points < steps:
        text += f" Computed from {points:,} evenly spaced ones of the {steps:,} recorded steps."
    return text
