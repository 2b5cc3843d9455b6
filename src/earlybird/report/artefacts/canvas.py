"""Figures and axes that look alike."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from earlybird.report.palette import LIGHT

WIDTH = 9.0  # inches


def titled_figure(title: str, height: float) -> Figure:
    """A figure of the common width and so many inches of height; no global figure is left behind."""
    figure = Figure(figsize=(WIDTH, height), facecolor=LIGHT["ground"], layout="constrained")
    FigureCanvasAgg(figure)
    shown = title if len(title) <= 80 else title[:40] + "…" + title[-39:]
    # parse_math off: a dollar sign in a name is a dollar sign.
    figure.suptitle(shown, x=0.02, ha="left", fontsize=13, color=LIGHT["ink"], parse_math=False)
    return figure


def plain(axes: Axes, *, grid: bool = True, steps: bool = False) -> None:
    """Axes that step back behind the data; `steps` writes thousands with a comma along the bottom."""
    if grid:
        axes.grid(color=LIGHT["grid"], linewidth=0.8)
        axes.set_axisbelow(True)
    axes.tick_params(colors=LIGHT["muted"], labelsize=9, length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LIGHT["line"])
    if steps:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
