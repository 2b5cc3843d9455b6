"""Which units each score keeps, and how many of them the scores have in common."""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import NDArray

from earlybird.criteria import overlap
from earlybird.detectors.scores import Score, channels_of
from earlybird.report.artefacts.artefact import Artefact
from earlybird.report.artefacts.canvas import titled_figure
from earlybird.report.artefacts.record import Record
from earlybird.report.palette import LIGHT
from earlybird.report.series import scores_at
from earlybird.trajectory import Kind


def scores_compared(record: Record) -> Artefact | None:
    """Overlap of the masks at the last recorded step by each two scores; None where only one is recorded."""
    scores = recorded_scores(record)
    if len(scores) < 2:
        return None
    masks = {kind: {score: last_mask(record, kind, score) for score in scores} for kind in record.kinds}
    figure = titled_figure(f"{record.name}: what the scores keep in common at the last step", 3.4)
    grid = figure.subplots(1, len(masks), squeeze=False)
    rows: list[tuple[object, ...]] = []
    for axes, (kind, by_score) in zip(grid.flat, masks.items(), strict=True):
        table = np.array([[float(overlap(one, other)) for other in by_score.values()] for one in by_score.values()])
        chance = float(next(iter(by_score.values())).sum() / sum(record.prunings[kind].units))
        axes.imshow(table, cmap="Blues", vmin=0, vmax=1.6)
        for row, column in np.ndindex(table.shape):
            axes.text(column, row, f"{table[row, column]:.0%}", ha="center", va="center", color=LIGHT["ink"])
        axes.set_xticks(range(len(scores)), scores, fontsize=8)
        axes.set_yticks(range(len(scores)), scores, fontsize=8, rotation=90, va="center")
        axes.set_title(f"{kind}, by chance {chance:.0%}", fontsize=10, color=LIGHT[kind])
        axes.tick_params(colors=LIGHT["muted"], length=0)
        axes.spines[:].set_visible(False)
        for layer, count in enumerate(record.prunings[kind].units):
            for unit in range(count):
                rows.append((kind, layer, unit, *(int(mask[layer, unit]) for mask in by_score.values())))
    return Artefact(figure, ("kind", "layer", "unit", *(f"kept by {score}" for score in scores)), rows)


def recorded_scores(record: Record) -> list[Score]:
    """The scores whose evidence the record holds."""
    held = record.trajectory.shape.channels
    return [score for score in get_args(Score) if any(channel in held for channel in channels_of(score))]


def last_mask(record: Record, kind: Kind, score: Score) -> NDArray[np.bool_]:
    """The mask at the last recorded step, (layers, units)."""
    (scores,) = next(scores_at(record.trajectory, kind, score, np.array([record.trajectory.steps - 1])))
    return record.prunings[kind].masks(scores)
