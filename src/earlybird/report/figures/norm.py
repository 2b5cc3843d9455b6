"""The masks' nuclear norm with its moving average and the draws: a picture of every report, and a figure."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from earlybird.criteria import nuclear_norm
from earlybird.report.analysis import Analysis
from earlybird.report.figures.figure_with_data import FigureWithData
from earlybird.report.figures.record import Record
from earlybird.report.figures.stacked_rows import last_step, mark_steps, stacked_axes
from earlybird.report.marks import marks_of
from earlybird.report.palette import LIGHT
from earlybird.report.series import moving_average
from earlybird.vocabulary import KINDS, Kind


def norm(record: Record) -> FigureWithData | None:
    """As in the report; the data at every step."""
    figure = norm_picture(record.name, record.analysis)
    if figure is None:
        return None
    values = {kind: norms(record, kind) for kind in record.kinds}
    rows = ((step, *(f"{series[step]:.6f}" for series in values.values())) for step in range(record.trajectory.steps))
    return FigureWithData(figure, ("step", *values), rows)


def norms(record: Record, kind: Kind) -> NDArray[np.float64]:
    """The nuclear norm at every recorded step, (steps,)."""
    return np.concatenate([nuclear_norm(masks) for masks in record.masks(kind, np.arange(record.trajectory.steps))])


def norm_picture(name: str, analysis: Analysis) -> Figure | None:
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
