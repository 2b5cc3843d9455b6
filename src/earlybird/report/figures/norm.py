"""The masks' nuclear norm over the steps, as a picture."""

from __future__ import annotations

from matplotlib.figure import Figure

from earlybird.report.analysis import Analysis
from earlybird.report.figures.rows import last_step, mark_steps, stacked_axes
from earlybird.report.marks import marks_of
from earlybird.report.palette import LIGHT
from earlybird.report.series import moving_average
from earlybird.trajectory import KINDS


def norm_figure(name: str, analysis: Analysis) -> Figure | None:
    """The nuclear norm of each kind's masks over the steps with the draws; None where no masks are known."""
    kinds = [kind for kind in KINDS if kind in analysis.masks]
    if not kinds:
        return None
    marks = {kind: marks_of(analysis, kind, hamming=True) for kind in kinds}
    figure, rows = stacked_axes(f"{name}: do the masks still change?", kinds, marks, last_step(analysis))
    for kind, axes in rows.items():
        series = analysis.masks[kind]
        window = max(3, len(series.steps) // 50)
        axes.plot(series.steps, series.norm, color=LIGHT[f"{kind}-faint"], linewidth=0.8)
        axes.plot(series.steps, moving_average(series.norm, window), color=LIGHT[kind], linewidth=1.8)
        axes.set_ylabel(f"nuclear norm of\nthe {kind}' masks", color=LIGHT[kind])
        mark_steps(axes, marks[kind], analysis)
    return figure
