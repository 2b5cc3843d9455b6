"""How far the masks of any two steps are from each other, as Early-Bird's figure shows it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.criteria import hamming_distance
from earlybird.report.figures.figure_with_data import FigureWithData
from earlybird.report.figures.record import Record
from earlybird.report.figures.style import frameless, mark_draw, titled_figure
from earlybird.report.palette import LIGHT
from earlybird.report.series import sampled_steps
from earlybird.vocabulary import Kind

_STEPS = 100


def mask_distances(record: Record) -> FigureWithData:
    """Pairwise Hamming distances at up to 100 evenly spaced steps (after You et al. 2020, arXiv 1909.11957)."""
    steps = sampled_steps(record.trajectory.steps, _STEPS)
    distances = {kind: pairwise_distances(record, kind, steps) for kind in record.kinds}
    figure = titled_figure(f"{record.name}: Hamming distance between the masks of two steps", 4.4)
    grid = figure.subplots(1, len(distances), squeeze=False)
    last = float(max(1, steps[-1]))
    for axes, (kind, values) in zip(grid.flat, distances.items(), strict=True):
        image = axes.imshow(100 * values, cmap="viridis_r", origin="lower", extent=(0, last, 0, last))
        figure.colorbar(image, ax=axes, shrink=0.75, label="% of the units")
        mark_draw(axes, drawn := record.analysis.draw_step, width=0.8)
        if drawn is not None:
            axes.axhline(drawn, color=LIGHT["ink"], linewidth=0.8)
        axes.set_title(kind, fontsize=10, color=LIGHT[kind])
        axes.set_xlabel("step", color=LIGHT["muted"])
        frameless(axes)
    rows = (
        (kind, steps[i], steps[j], f"{values[i, j]:.6f}")
        for kind, values in distances.items()
        for i in range(len(steps))
        for j in range(i)
    )
    return FigureWithData(figure, ("kind", "step", "earlier step", "distance"), rows)


def pairwise_distances(record: Record, kind: Kind, steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Fraction of units in which the masks of each two steps differ, (n,) -> (n, n)."""
    masks = np.concatenate(list(record.masks(kind, steps)))
    units = record.rules[kind].units
    return np.stack([hamming_distance(masks, mask, units=units) for mask in masks])
