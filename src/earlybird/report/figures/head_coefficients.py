"""Each head's coefficient over the steps, one panel for each head."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from earlybird.report.figures.figure_with_data import FigureWithData
from earlybird.report.figures.record import Record
from earlybird.report.figures.style import mark_draw, titled_figure
from earlybird.report.palette import LIGHT
from earlybird.report.series import coefficients_at, sampled_steps

_POINTS = 200
_MOST_PANELS = 400


def head_coefficients(record: Record) -> FigureWithData | None:
    """Layers are rows, heads columns, all on one scale; a panel of a pruned head has a grey ground.

    None where no coefficients of heads are recorded, or more than can be told apart in panels.
    """
    units = record.trajectory.shape.units.get("heads", ())
    if "coefficient" not in record.recorded_scores or not sum(units) or len(units) * max(units) > _MOST_PANELS:
        return None
    steps = sampled_steps(record.trajectory.steps, _POINTS)
    values = coefficients_at(record.trajectory, "heads", steps)
    kept = None if record.ticket is None else record.ticket.masks.get("heads")
    figure = titled_figure(f"{record.name}: the coefficient of each head", 0.9 + 0.62 * len(units))
    grid = figure.subplots(len(units), max(units), sharex=True, sharey=True, squeeze=False)
    for layer, row in enumerate(grid):
        for head, axes in enumerate(row):
            if head >= units[layer]:
                axes.set_axis_off()
                continue
            pruned = kept is not None and not kept[layer, head]
            axes.set_facecolor(LIGHT["pruned"] if pruned else LIGHT["ground"])
            axes.plot(steps, values[:, layer, head], color=LIGHT["heads"], linewidth=0.9)
            mark_draw(axes, record.analysis.draw_step, width=0.8)
            axes.set_xticks([])
            axes.tick_params(colors=LIGHT["muted"], labelsize=7, length=0)
            axes.spines[:].set_color(LIGHT["line"])
            # Above the first layer that has such a head.
            if all(count <= head for count in units[:layer]):
                axes.set_title(f"head {head}", fontsize=8, color=LIGHT["muted"])
            if head == 0:
                axes.set_ylabel(f"layer {layer}", fontsize=8, color=LIGHT["muted"])
    last = record.trajectory.steps - 1
    drawn = "" if record.analysis.draw_step is None else "; the line is the draw"
    drawn += "" if kept is None else "; a grey panel is a pruned head"
    figure.supxlabel(f"steps 0 to {last:,} in every panel{drawn}", fontsize=9, color=LIGHT["muted"])

    def rows() -> Iterator[tuple[object, ...]]:
        for step in range(record.trajectory.steps):
            (here,) = coefficients_at(record.trajectory, "heads", np.array([step]))
            for layer, count in enumerate(units):
                yield from ((step, layer, head, f"{here[layer, head]:.6f}") for head in range(count))

    return FigureWithData(figure, ("step", "layer", "head", "coefficient"), rows())
