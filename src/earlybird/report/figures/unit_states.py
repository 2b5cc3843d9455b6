"""One unit's scores in two hidden states, and how probable the quieter one is."""

from __future__ import annotations

import numpy as np

from earlybird.report.figures.figure_with_data import FigureWithData
from earlybird.report.figures.record import Record
from earlybird.report.figures.style import mark_draw, plain, titled_figure
from earlybird.report.palette import LIGHT
from earlybird.report.unit_states import unit_states


def unit_states_figure(record: Record) -> FigureWithData | None:
    """Strong where the quieter state is the more probable one; None without masks, or where there is no fit."""
    unit = record.one_unit
    found = None if unit is None else unit_states(record.trajectory, record.score, unit)
    if found is None:
        return None
    kind = found.unit.kind
    figure = titled_figure(f"{record.name}: {found.unit} in two states", 5.0)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.6, 1))
    plain(above, steps=True)
    above.plot(found.steps, found.values, color=LIGHT[f"{kind}-faint"], linewidth=2.5)
    for run in found.quiet_runs:
        above.plot(found.steps[run], found.values[run], color=LIGHT[kind], linewidth=1.6)
    above.set_title(found.in_words, loc="left", fontsize=9, color=LIGHT["muted"])
    above.set_ylabel(record.score, color=LIGHT["muted"])
    plain(below, steps=True)
    below.plot(found.steps[1:], found.quiet, color=LIGHT[kind], linewidth=1.3)
    below.set_ylim(-0.04, 1.04)
    below.set_ylabel("P(quieter)", color=LIGHT["muted"])
    below.set_xlabel("step", color=LIGHT["muted"])
    for axes in (above, below):
        mark_draw(axes, record.analysis.draw_step)
    quiet = np.concatenate([[np.nan], found.quiet])
    rows = (
        (step, f"{value:.8g}", "" if np.isnan(p) else f"{p:.6f}")
        for step, value, p in zip(found.steps, found.values, quiet, strict=True)
    )
    return FigureWithData(figure, ("step", record.score, "probability of the quieter state"), rows)
