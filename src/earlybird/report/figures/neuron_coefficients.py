"""The neurons' coefficients over the steps, one panel for each layer."""

from __future__ import annotations

from earlybird.report.coefficients import QUANTILES, CoefficientQuantiles, coefficient_quantiles
from earlybird.report.figures.coefficients import draw_quantiles
from earlybird.report.figures.figure_with_data import FigureWithData
from earlybird.report.figures.record import Record
from earlybird.report.figures.style import mark_draw, plain, titled_figure
from earlybird.report.palette import LIGHT
from earlybird.report.series import sampled_steps

_POINTS = 400
_COLUMNS = 3


def neuron_coefficients(record: Record) -> FigureWithData | None:
    """The median of each layer's neurons, and bands that hold half, 90% and all; None where none are recorded."""
    units = record.trajectory.shape.units.get("neurons", ())
    if "coefficient" not in record.recorded_scores or not sum(units):
        return None
    steps = sampled_steps(record.trajectory.steps, _POINTS)
    values = coefficient_quantiles(record.trajectory, "neurons", steps)
    lines = -(-len(units) // _COLUMNS)
    figure = titled_figure(f"{record.name}: the neurons' coefficients, layer by layer", 0.8 + 1.7 * lines)
    grid = figure.subplots(lines, _COLUMNS, sharex=True, sharey=True, squeeze=False)
    for layer, axes in enumerate(grid.flat):
        if layer >= len(units):
            axes.set_axis_off()
            continue
        plain(axes, steps=True)
        if units[layer]:
            draw_quantiles(axes, "neurons", CoefficientQuantiles(steps, values.values[1 + layer : 2 + layer]))
            axes.get_legend().set_visible(layer == min(_COLUMNS, len(units)) - 1)
        mark_draw(axes, record.analysis.draw_step)
        axes.set_title(f"layer {layer}", fontsize=9, color=LIGHT["muted"])
    figure.supxlabel("step", fontsize=9, color=LIGHT["muted"])
    rows = (
        (step, layer, *(f"{value:.6f}" for value in values.values[1 + layer, :, position]))
        for position, step in enumerate(steps)
        for layer in range(len(units))
    )
    return FigureWithData(figure, ("step", "layer", *(f"quantile {q:g}" for q in QUANTILES)), rows)
