"""What makes all figures look alike: their width and title, axes, the line of the draw."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from earlybird.report.palette import LIGHT

WIDTH = 9.0  # inches
DOTS = 200  # per inch: 1,800 pixels wide, to be shown at 900
_TITLE: dict[str, Any] = {"fontsize": 13, "color": LIGHT["ink"], "parse_math": False}  # a dollar sign is just that


def titled_figure(title: str, height: float) -> Figure:
    """A figure of the common width and so many inches of height, whose parts make room for each other."""
    figure = _blank_figure(height)
    figure.set_layout_engine("constrained")
    figure.suptitle(_shortened(title), x=0.02, ha="left", **_TITLE)
    return figure


def placed_figure(title: str, height: float) -> Figure:
    """As `titled_figure`, of which every part is placed by whoever draws it."""
    figure = _blank_figure(height)
    figure.text(0.02, 1 - 0.3 / height, _shortened(title), va="center", **_TITLE)
    return figure


def _blank_figure(height: float) -> Figure:
    """A figure of the common width; no global figure is left behind."""
    figure = Figure(figsize=(WIDTH, height), facecolor=LIGHT["ground"])
    FigureCanvasAgg(figure)
    return figure


def plain(axes: Axes, *, steps: bool = False) -> None:
    """Axes that step back behind the data; `steps` writes thousands with a comma along the bottom."""
    axes.grid(color=LIGHT["grid"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=LIGHT["muted"], labelsize=9, length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LIGHT["line"])
    if steps:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def frameless(axes: Axes) -> None:
    """Axes of an image or a table: nothing but its labels."""
    axes.tick_params(which="both", colors=LIGHT["muted"], labelsize=9, length=0)
    axes.spines[:].set_visible(False)


def mark_draw(axes: Axes, step: int | None, *, width: float = 1.0) -> None:
    """A line at the draw, where there is one."""
    if step is not None:
        axes.axvline(step, color=LIGHT["ink"], linewidth=width)


def _shortened(title: str) -> str:
    return title if len(title) <= 80 else title[:40] + "…" + title[-39:]
