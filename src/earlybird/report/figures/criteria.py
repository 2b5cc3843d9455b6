"""Every criterion of the masks over the steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.detectors.criterion import Criterion, has_lag
from earlybird.detectors.scores import Scores
from earlybird.detectors.series import series_of
from earlybird.report.figures.figure_with_data import FigureWithData
from earlybird.report.figures.record import Record
from earlybird.report.figures.style import mark_draw, plain, titled_figure
from earlybird.report.palette import LIGHT
from earlybird.report.series import scores_at
from earlybird.vocabulary import CRITERIA, Kind

_LAG = 0.05  # of the planned steps


def criteria(record: Record) -> FigureWithData:
    """A row per criterion, a column per kind; those that compare with an earlier mask look 5% of the run back."""
    # Of a record that ends before a twentieth of the run, nothing could be compared.
    lag = max(1, min(round(_LAG * record.trajectory.total_steps), record.trajectory.steps // 2))
    compared = [Criterion(name, lag if has_lag(name) else 0) for name in CRITERIA]
    values = {kind: criterion_values(record, kind, compared) for kind in record.kinds}
    steps = np.arange(record.trajectory.steps)
    figure = titled_figure(f"{record.name}: criteria, the masks against those of {lag:,} steps before", 13)
    grid = figure.subplots(len(compared), len(values), squeeze=False, sharex=True)
    for column, (kind, series) in zip(grid.T, values.items(), strict=True):
        column[0].set_title(kind, loc="left", fontsize=10, color=LIGHT[kind])
        for axes, criterion in zip(column, compared, strict=True):
            plain(axes, steps=True)
            axes.plot(steps, series[criterion], color=LIGHT[kind], linewidth=1.2)
            mark_draw(axes, record.analysis.draw_step)
        column[-1].set_xlabel("step", color=LIGHT["muted"])
    for axes, criterion in zip(grid[:, 0], compared, strict=True):
        axes.set_ylabel(criterion.name, color=LIGHT["muted"], fontsize=9)
    figure.align_ylabels(grid[:, 0])
    columns = ("step", *(f"{criterion.name}, {kind}" for kind in values for criterion in compared))
    rows = (
        (step, *(f"{series[criterion][step]:.6g}" for series in values.values() for criterion in compared))
        for step in steps
    )
    return FigureWithData(figure, columns, rows)


def criterion_values(record: Record, kind: Kind, criteria: list[Criterion]) -> dict[Criterion, NDArray[np.float64]]:
    """The criteria at every recorded step, (steps,) each; NaN where there is nothing to compare with yet."""
    rule = record.rules[kind]
    series = {criterion: series_of(criterion, rule) for criterion in criteria}
    pieces: dict[Criterion, list[NDArray[np.float64]]] = {criterion: [] for criterion in criteria}
    for scores in scores_at(record.trajectory, kind, record.score, np.arange(record.trajectory.steps)):
        masks = rule.masks(scores)
        for criterion in criteria:
            pieces[criterion].append(series[criterion].update(Scores(scores), masks))
    return {criterion: np.concatenate(values) for criterion, values in pieces.items()}
