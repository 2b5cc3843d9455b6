"""The slimming coefficients over the steps, as a picture."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from earlybird.report.analysis import Analysis
from earlybird.report.coefficients import CoefficientLines, CoefficientQuantiles
from earlybird.report.figures.stacked_rows import last_step, mark_steps, stacked_axes
from earlybird.report.marks import marks_of
from earlybird.report.palette import LIGHT, layer_colours
from earlybird.vocabulary import KINDS, Kind


def coefficients_picture(name: str, analysis: Analysis) -> Figure | None:
    """Every head's coefficient and the neurons' quantiles over the steps; None where none are known."""
    kinds = [kind for kind in KINDS if kind in analysis.coefficients]
    if not kinds:
        return None
    marks = {kind: marks_of(analysis, kind) for kind in kinds}
    figure, rows = stacked_axes(f"{name}: the slimming coefficients", kinds, marks, last_step(analysis), right=0.88)
    for kind, axes in rows.items():
        values = analysis.coefficients[kind]
        if isinstance(values, CoefficientLines):
            _draw_lines(figure, axes, values)
            axes.set_ylabel(f"coefficient of\neach of the {kind}", color=LIGHT[kind])
        else:
            draw_quantiles(axes, kind, values)
            axes.set_ylabel(f"coefficients of\nthe {kind}", color=LIGHT[kind])
        mark_steps(axes, marks[kind], analysis)
    return figure


def _draw_lines(figure: Figure, axes: Axes, values: CoefficientLines) -> None:
    colours = layer_colours(len(values.units))
    for layer, count in enumerate(values.units):
        axes.plot(values.steps, values.values[:, layer, :count], color=colours[layer], linewidth=0.9, alpha=0.9)
    if len(colours) < 2:
        return
    box = axes.get_position()
    bar = figure.add_axes((box.x1 + 0.02, box.y0, 0.015, box.height))
    edges = [layer - 0.5 for layer in range(len(colours) + 1)]
    shades = ScalarMappable(BoundaryNorm(edges, len(colours)), ListedColormap(colours))
    ticks = range(0, len(colours), max(1, -(-len(colours) // 12)))
    scale = figure.colorbar(shades, cax=bar, ticks=list(ticks))
    scale.set_label("layer", color=LIGHT["muted"], labelpad=8)
    scale.ax.tick_params(colors=LIGHT["muted"], labelsize=9, length=0)
    scale.ax.minorticks_off()
    scale.outline.set_visible(False)


def draw_quantiles(axes: Axes, kind: Kind, values: CoefficientQuantiles) -> None:
    """All, 90% and half of the units as bands around the median; named beside them."""
    least, low, quarter, median, three_quarters, high, most = values.values[0]
    colour = LIGHT[kind]
    bands = (
        ("all", 0.15, ((least, low), (high, most))),
        ("90%", 0.32, ((low, quarter), (three_quarters, high))),
        ("half", 0.5, ((quarter, three_quarters),)),
    )
    for label, alpha, parts in bands:
        for part, (lower, upper) in enumerate(parts):
            name = "_" if part else label  # an underscore keeps a part out of the legend
            axes.fill_between(values.steps, lower, upper, color=colour, alpha=alpha, linewidth=0, label=name)
    axes.plot(values.steps, median, color=colour, linewidth=1.6, label="median")
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        fontsize=9,
        labelcolor=LIGHT["muted"],
        handlelength=1.2,
    )
