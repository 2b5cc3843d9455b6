"""Axes with the p-values of the slope in each window."""

from __future__ import annotations

from matplotlib.axes import Axes

from earlybird.report.figures.style import plain
from earlybird.report.palette import LIGHT
from earlybird.report.sliding_regressions import THRESHOLD, SlidingRegressions
from earlybird.vocabulary import Kind


def draw_p_values(axes: Axes, found: SlidingRegressions, kind: Kind) -> None:
    """At the last step of each window; solid with classic standard errors, dotted with robust ones."""
    plain(axes, steps=True)
    axes.set_ylim(-0.04, 1.04)
    axes.set_ylabel("p of the slope", color=LIGHT["muted"])
    axes.plot(found.ends, found.p, color=LIGHT[kind], linewidth=1, marker="o", markersize=2, label="classic")
    axes.plot(found.ends, found.robust_p, color=LIGHT[kind], linewidth=1, linestyle=":", label="HAC")
    axes.axhline(THRESHOLD, color=LIGHT["muted"], linewidth=1, linestyle="--")
    # Above the axes: a p-value may be anywhere within.
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 0.98),
        borderaxespad=0,
        frameon=False,
        fontsize=8,
        labelcolor=LIGHT["muted"],
        ncols=2,
    )
