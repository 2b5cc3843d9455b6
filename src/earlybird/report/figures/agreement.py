"""Overlap of each step's mask with the last one, and how much of the last scores it captures."""

from __future__ import annotations

import numpy as np

from earlybird.report.figures.figure_with_data import FigureWithData
from earlybird.report.figures.record import Record
from earlybird.report.figures.stacked_rows import last_step, mark_steps, stacked_axes
from earlybird.report.marks import marks_of
from earlybird.report.palette import LIGHT
from earlybird.report.series import mask_series


def agreement(record: Record) -> FigureWithData:
    """Judged by the last recorded step."""
    marks = {kind: marks_of(record.analysis, kind) for kind in record.kinds}
    series = {kind: mask_series(record.trajectory, kind, record.rules[kind], record.score) for kind in record.kinds}
    figure, axes_of = stacked_axes(
        f"{record.name}: agreement with the last mask", record.kinds, marks, last_step(record.analysis)
    )
    for kind, axes in axes_of.items():
        found = series[kind]
        axes.plot(found.steps, found.captured, color=LIGHT[kind], linewidth=1.6, label="captured")
        axes.plot(found.steps, found.overlap, color=LIGHT[kind], linewidth=1, linestyle=":", label="overlap")
        axes.set_ylabel(kind, color=LIGHT[kind])
        axes.legend(loc="lower right", frameon=False, fontsize=9, labelcolor=LIGHT["muted"])
        mark_steps(axes, marks[kind], record.analysis)
    columns = ("step", *(f"{what}, {kind}" for kind in series for what in ("captured", "overlap")))
    rows = (
        (step, *(f"{values[step]:.6f}" for found in series.values() for values in (found.captured, found.overlap)))
        for step in np.arange(record.trajectory.steps)
    )
    return FigureWithData(figure, columns, rows)
