"""Axes in rows over the steps, one for each kind of unit, with labelled lines where something happened."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from earlybird.report.analysis import Analysis
from earlybird.report.figures.style import placed_figure, plain
from earlybird.report.marks import Mark
from earlybird.report.palette import LIGHT
from earlybird.vocabulary import Kind

_HEADER = 0.55  # inches for the title
_ROW = 2.25  # inches of one row's axes
_FOOT = 0.6  # inches for the shared axis of steps
_LABEL = 0.2  # inches of one line of labels
_LETTER = 0.0115  # width of a label's letter, as a share of the axes' width
# Labels hang to the left of their line from here on, so that they never leave the picture.
_LATE = 0.6
_STYLES = {"draw": ("-", LIGHT["ink"]), "settled": (":", LIGHT["ink"]), "hamming": ("--", "#767d86")}


def last_step(analysis: Analysis) -> int:
    """The last recorded step, 1 at the least, so that an axis has a length."""
    return max(1, analysis.recorded - 1)


def stacked_axes(
    title: str, kinds: Sequence[Kind], marks: dict[Kind, list[Mark]], last: int, *, right: float = 0.97
) -> tuple[Figure, dict[Kind, Axes]]:
    """A figure with a row of axes per kind, room for the labels above each."""
    above = {kind: _LABEL * (1 + max(_levels(marks[kind], last), default=0)) + 0.12 for kind in kinds}
    height = _HEADER + sum(_ROW + above[kind] for kind in kinds) + _FOOT
    figure = placed_figure(title, height)
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
        plain(axes, steps=True)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.get_major_formatter().set_useOffset(False)  # type: ignore[attr-defined]
        axes.tick_params(labelbottom=kind == kinds[-1])
        rows[kind] = axes
    rows[kinds[-1]].set_xlabel("step", color=LIGHT["muted"])
    return figure, rows


def mark_steps(axes: Axes, marks: list[Mark], analysis: Analysis) -> None:
    """Lines with their labels above the axes, as low as they can stand without two of them overlapping."""
    last = last_step(analysis)
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
