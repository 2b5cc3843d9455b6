"""The masks' nuclear norm with the window of the tests moving over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from numpy.typing import NDArray

from earlybird.report.figures.frames_with_data import FramesWithData
from earlybird.report.figures.norm import norms
from earlybird.report.figures.p_value_axes import draw_p_values
from earlybird.report.figures.record import Record
from earlybird.report.figures.style import mark_draw, plain, titled_figure
from earlybird.report.p_value_words import p_in_words
from earlybird.report.palette import LIGHT
from earlybird.report.series import sampled_steps
from earlybird.report.sliding_regressions import SlidingRegressions, windows_of
from earlybird.vocabulary import Kind

_FRAMES = 30


def norm_windows(record: Record) -> FramesWithData | None:
    """A frame for each of at most 30 checks; a column per kind, the averaged norm above, the p-values below.

    None where fewer steps are recorded than the first window needs.
    """
    found: dict[Kind, SlidingRegressions] = {}
    for kind in record.kinds:
        windows = windows_of(record.trajectory, record.config, kind)
        regressions = SlidingRegressions.of(norms(record, kind), windows)
        if regressions is not None:
            found[kind] = regressions
    if not found:
        return None
    checks = np.unique(np.concatenate([regressions.ends for regressions in found.values()]))
    rows = [
        (kind, end, end + 1 - one.windows.length, *(f"{height:.6g}" for height in line), *(_written(p) for p in both))
        for kind, one in found.items()
        for end, line, both in zip(one.ends, one.lines, zip(one.p, one.robust_p, strict=True), strict=True)
    ]
    columns = ("kind", "step", "window's first step", "line at its first", "line at its last", "p", "p, HAC")
    return FramesWithData(_frames(record, found, checks[sampled_steps(len(checks), _FRAMES)]), columns, rows)


def _frames(record: Record, found: Mapping[Kind, SlidingRegressions], checks: NDArray[np.int64]) -> Iterator[Figure]:
    """One figure, changed for each frame."""
    figure = titled_figure(f"{record.name}: the window of a test over the nuclear norm", 4.6)
    grid = figure.subplots(2, len(found), squeeze=False, sharex=True, height_ratios=(1.6, 1))
    steps = np.arange(record.trajectory.steps)
    for (above, below), (kind, one) in zip(grid.T, found.items(), strict=True):
        plain(above, steps=True)
        above.plot(steps, one.smoothed, color=LIGHT[kind], linewidth=1.3)
        mark_draw(above, record.analysis.draw_step)
        above.set_title(f"norm, {kind}", loc="left", fontsize=10, color=LIGHT[kind])
        draw_p_values(below, one, kind)
        below.set_title(" ", loc="left", fontsize=9)  # keeps room for what each frame says
        below.set_xlabel("step", color=LIGHT["muted"])
    # Once, so that the axes stand still from frame to frame.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for check in checks:
        moved: list[Artist] = []
        for (above, below), (kind, one) in zip(grid.T, found.items(), strict=True):
            at = int(np.searchsorted(one.ends, check, side="right")) - 1
            if at < 0:
                continue
            first, last = one.ends[at] + 1 - one.windows.length, one.ends[at]
            moved.append(above.axvspan(first, last, color=LIGHT[f"{kind}-faint"], alpha=0.5, linewidth=0))
            moved += above.plot([first, last], one.lines[at], color=LIGHT["ink"], linewidth=2)
            moved += below.plot([last], [one.p[at]], color=LIGHT["ink"], marker="o", markersize=6)
            below.set_title(f"step {last:,}: {p_in_words(one.p[at])}", loc="left", fontsize=9, color=LIGHT["ink"])
        yield figure
        for artist in moved:
            artist.remove()


def _written(p: float) -> str:
    return "" if np.isnan(p) else f"{p:.3g}"
