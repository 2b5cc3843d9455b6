"""Which units each score keeps, and how many of them the scores have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earlybird.criteria import overlap
from earlybird.report.figures.figure_with_data import FigureWithData
from earlybird.report.figures.record import Record
from earlybird.report.figures.style import frameless, titled_figure
from earlybird.report.palette import LIGHT
from earlybird.report.series import scores_at
from earlybird.vocabulary import Kind, Score


def scores(record: Record) -> FigureWithData | None:
    """Overlap of the masks at the last recorded step by each two scores; None where only one is recorded."""
    known = record.recorded_scores
    if len(known) < 2:
        return None
    masks = {kind: {score: last_mask(record, kind, score) for score in known} for kind in record.kinds}
    figure = titled_figure(f"{record.name}: what the scores keep in common at the last step", 3.4)
    grid = figure.subplots(1, len(masks), squeeze=False)
    rows: list[tuple[object, ...]] = []
    for axes, (kind, by_score) in zip(grid.flat, masks.items(), strict=True):
        table = np.array([[float(overlap(one, other)) for other in by_score.values()] for one in by_score.values()])
        chance = float(next(iter(by_score.values())).sum() / sum(record.rules[kind].units))
        frameless(axes)
        axes.imshow(table, cmap="Blues", vmin=0, vmax=1.6)
        for row, column in np.ndindex(table.shape):
            axes.text(column, row, f"{table[row, column]:.0%}", ha="center", va="center", color=LIGHT["ink"])
        axes.set_xticks(range(len(known)), known, fontsize=8)
        axes.set_yticks(range(len(known)), known, fontsize=8, rotation=90, va="center")
        axes.set_title(f"{kind}, by chance {chance:.0%}", fontsize=10, color=LIGHT[kind])
        for layer, count in enumerate(record.rules[kind].units):
            for unit in range(count):
                rows.append((kind, layer, unit, *(int(mask[layer, unit]) for mask in by_score.values())))
    return FigureWithData(figure, ("kind", "layer", "unit", *(f"kept by {score}" for score in known)), rows)


def last_mask(record: Record, kind: Kind, score: Score) -> NDArray[np.bool_]:
    """The mask at the last recorded step, (layers, units)."""
    (last,) = next(scores_at(record.trajectory, kind, score, np.array([record.trajectory.steps - 1])))
    return record.rules[kind].masks(last)
