"""One unit's scores over the steps, with the line and the p-value of every window."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from earlybird.report.figures.figure_with_data import FigureWithData
from earlybird.report.figures.p_value_axes import draw_p_values
from earlybird.report.figures.record import Record
from earlybird.report.figures.style import mark_draw, plain, titled_figure
from earlybird.report.palette import LIGHT
from earlybird.report.unit_regressions import UnitRegressions, unit_regressions


def unit_regressions_figure(record: Record) -> FigureWithData | None:
    """Every window's line over the scores, below the p-values; None without masks, or in too short a record."""
    unit = record.one_unit
    found = () if unit is None else unit_regressions(record.trajectory, record.config, [unit])
    if not found:
        return None
    (one,) = found
    kind, regressions = one.unit.kind, one.found
    length = regressions.windows.length
    figure = titled_figure(f"{record.name}: {one.unit}, regressions over {length:,} steps", 5.0)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.6, 1))
    plain(above, steps=True)
    above.plot(np.arange(len(one.values)), one.values, color=LIGHT[kind], linewidth=1)
    for end, line in zip(regressions.ends, regressions.lines, strict=True):
        above.plot([end + 1 - length, end], line, color=LIGHT["ink"], linewidth=1, alpha=0.7)
    above.set_ylabel(record.score, color=LIGHT["muted"])
    draw_p_values(below, regressions, kind)
    below.set_xlabel("last step of the window", color=LIGHT["muted"])
    for axes in (above, below):
        mark_draw(axes, record.analysis.draw_step)
    columns = ("step", record.score, "line at the window's first step", "line at its last", "p", "p, HAC")
    return FigureWithData(figure, columns, _rows(one))


def _rows(one: UnitRegressions) -> Iterator[tuple[object, ...]]:
    """Every step, with what the window that ends there says, where one does."""
    found = one.found
    said = {
        int(end): (f"{line[0]:.8g}", f"{line[1]:.8g}", *("" if np.isnan(p) else f"{p:.6g}" for p in both))
        for end, line, both in zip(found.ends, found.lines, zip(found.p, found.robust_p, strict=True), strict=True)
    }
    for step, value in enumerate(one.values):
        yield (step, f"{value:.8g}", *said.get(step, ("",) * 4))
