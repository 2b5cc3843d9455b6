"""The two pictures of a run as PNG files, 1,800 pixels wide, to be shown at 900."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from earlybird.report.analysis import Analysis
from earlybird.report.coefficients import CoefficientLines, CoefficientQuantiles
from earlybird.report.marks import Mark, marks_of
from earlybird.report.palette import LIGHT, layer_colours
from earlybird.report.run import Run
from earlybird.report.series import moving_average
from earlybird.trajectory import KINDS, Kind

_WIDTH = 9.0  # inches, at 200 dots each
_DOTS = 200
_HEADER = 0.55  # inches for the title
_ROW = 2.25  # inches of one row's axes
_FOOT = 0.6  # inches for the shared axis of steps
_LABEL = 0.2  # inches of one line of labels
_LETTER = 0.0115  # width of a label's letter, as a share of the axes' width
# Labels hang to the left of their line from here on, so that they never leave the picture.
_LATE = 0.6
_STYLES = {"draw": ("-", LIGHT["ink"]), "settled": (":", LIGHT["ink"]), "hamming": ("--", "#767d86")}


def write_figures(run: Run, analysis: Analysis, directory: Path) -> list[Path]:
    """Write `norm.png` and `coefficients.png` where there is something to show; the paths written."""
    written: list[Path] = []
    for name, figure in (
        ("norm.png", norm_figure(run.name, analysis)),
        ("coefficients.png", coefficients_figure(run.name, analysis)),
    ):
        if figure is None:
            continue
        directory.mkdir(parents=True, exist_ok=True)
        figure.savefig(directory / name, dpi=_DOTS)
        written.append(directory / name)
    return written


def norm_figure(name: str, analysis: Analysis) -> Figure | None:
    """The nuclear norm of each kind's masks over the steps with the draws; None where no masks are known."""
    kinds = [kind for kind in KINDS if kind in analysis.masks]
    if not kinds:
        return None
    marks = {kind: marks_of(analysis, kind, hamming=True) for kind in kinds}
    figure, rows = _rows(f"{name}: do the masks still change?", kinds, marks, _last(analysis))
    for kind, axes in rows.items():
        series = analysis.masks[kind]
        window = max(3, len(series.steps) // 50)
        axes.plot(series.steps, series.norm, color=LIGHT[f"{kind}-faint"], linewidth=0.8)
        axes.plot(series.steps, moving_average(series.norm, window), color=LIGHT[kind], linewidth=1.8)
        axes.set_ylabel(f"nuclear norm of\nthe {kind}' masks", color=LIGHT[kind])
        _mark(axes, marks[kind], analysis)
    return figure


def coefficients_figure(name: str, analysis: Analysis) -> Figure | None:
    """Every head's coefficient and the neurons' quantiles over the steps; None where none are known."""
    kinds = [kind for kind in KINDS if kind in analysis.coefficients]
    if not kinds:
        return None
    marks = {kind: marks_of(analysis, kind) for kind in kinds}
    figure, rows = _rows(f"{name}: the slimming coefficients", kinds, marks, _last(analysis), right=0.88)
    for kind, axes in rows.items():
        values = analysis.coefficients[kind]
        if isinstance(values, CoefficientLines):
            _draw_lines(figure, axes, values)
            axes.set_ylabel(f"coefficient of\neach of the {kind}", color=LIGHT[kind])
        else:
            _draw_quantiles(axes, kind, values)
            axes.set_ylabel(f"coefficients of\nthe {kind}", color=LIGHT[kind])
        _mark(axes, marks[kind], analysis)
    return figure


def _last(analysis: Analysis) -> int:
    return max(1, analysis.recorded - 1)


def _rows(
    title: str, kinds: Sequence[Kind], marks: dict[Kind, list[Mark]], last: int, *, right: float = 0.97
) -> tuple[Figure, dict[Kind, Axes]]:
    """A figure with a row of axes per kind, room for the labels above each; no global figure is left behind."""
    above = {kind: _LABEL * (1 + max(_levels(marks[kind], last), default=0)) + 0.12 for kind in kinds}
    height = _HEADER + sum(_ROW + above[kind] for kind in kinds) + _FOOT
    figure = Figure(figsize=(_WIDTH, height), facecolor=LIGHT["ground"])
    FigureCanvasAgg(figure)
    shown = title if len(title) <= 80 else title[:40] + "…" + title[-39:]
    # parse_math off: a dollar sign in a name is a dollar sign.
    figure.text(0.02, 1 - 0.3 / height, shown, fontsize=13, va="center", color=LIGHT["ink"], parse_math=False)
    left = 0.11
    top = height - _HEADER
    rows: dict[Kind, Axes] = {}
    for kind in kinds:
        top -= above[kind]
        axes = figure.add_axes(
            (left, (top - _ROW) / height, right - left, _ROW / height),
            sharex=next(iter(rows.values())) if rows else None,
        )
        top -= _ROW
        axes.grid(color=LIGHT["grid"], linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(colors=LIGHT["muted"], labelsize=9, length=0)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.get_major_formatter().set_useOffset(False)  # type: ignore[attr-defined]
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(LIGHT["line"])
        axes.tick_params(labelbottom=kind == kinds[-1])
        rows[kind] = axes
    rows[kinds[-1]].set_xlabel("step", color=LIGHT["muted"])
    return figure, rows


def _mark(axes: Axes, marks: list[Mark], analysis: Analysis) -> None:
    """Lines with their labels above the axes, as low as they can stand without two of them overlapping."""
    last = _last(analysis)
    axes.set_xlim(-0.01 * last, 1.01 * last)
    for mark, level in zip(marks, _levels(marks, last), strict=True):
        style, colour = _STYLES[mark.role]
        # Up to its label, be that ever so high.
        axes.plot(
            [mark.step, mark.step],
            [0, 1 + (_LABEL * (level + 0.8) if level else 0) / _ROW],
            transform=axes.get_xaxis_transform(),
            clip_on=False,
            color=colour,
            linestyle=style,
            linewidth=1.3,
        )
        late = mark.step > _LATE * last
        axes.annotate(
            mark.text,
            (mark.step, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if late else 3, 4 + 72 * _LABEL * level),
            textcoords="offset points",
            ha="right" if late else "left",
            va="bottom",
            fontsize=9.5,
            color=colour,
            annotation_clip=False,
            bbox={"facecolor": LIGHT["ground"], "edgecolor": "none", "pad": 0.5},
        )


def _levels(marks: list[Mark], last: int) -> list[int]:
    """The line of text above the axes that each label stands on, 0 being the lowest."""
    taken: list[list[tuple[float, float]]] = []
    levels: list[int] = []
    # From the right: a label goes over the later lines' ones, which its own line then does not cross.
    for mark in reversed(marks):
        width = _LETTER * len(mark.text) * last
        start = mark.step - width if mark.step > _LATE * last else mark.step
        end = start + width
        level = 0
        while level < len(taken) and any(start < other[1] and other[0] < end for other in taken[level]):
            level += 1
        if level == len(taken):
            taken.append([])
        taken[level].append((start, end))
        levels.append(level)
    return levels[::-1]


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


def _draw_quantiles(axes: Axes, kind: Kind, values: CoefficientQuantiles) -> None:
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
