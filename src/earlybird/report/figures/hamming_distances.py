"""How much the mask changes from one step to the next, and how often by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from earlybird.criteria import hamming_distance
from earlybird.report.figures.figure_with_data import FigureWithData
from earlybird.report.figures.record import Record
from earlybird.report.figures.style import mark_draw, plain, titled_figure
from earlybird.report.palette import LIGHT
from earlybird.vocabulary import Kind


def hamming_distances(record: Record) -> FigureWithData | None:
    """Distances between consecutive masks over the steps, and their histogram; None for a record of one step."""
    if record.trajectory.steps < 2:
        return None
    distances = {kind: successive_distances(record, kind) for kind in record.kinds}
    figure = titled_figure(f"{record.name}: Hamming distances between consecutive masks", 0.7 + 2.1 * len(distances))
    grid = figure.subplots(len(distances), 2, squeeze=False, width_ratios=(2.2, 1))
    for (over, often), (kind, values) in zip(grid, distances.items(), strict=True):
        plain(over, steps=True)
        over.plot(np.arange(1, len(values) + 1), 100 * values, color=LIGHT[kind], linewidth=0.7)
        over.set_ylabel(f"{kind}, % changed", color=LIGHT[kind])
        plain(often)
        often.hist(100 * values, bins=40, color=LIGHT[kind])
        often.set_yscale("log")
        often.set_ylabel("steps", color=LIGHT["muted"])
        mark_draw(over, record.analysis.draw_step)
    grid[-1, 0].set_xlabel("step", color=LIGHT["muted"])
    grid[-1, 1].set_xlabel("% of the units that changed", color=LIGHT["muted"])
    return FigureWithData(figure, ("step", *distances), _rows(distances))


def successive_distances(record: Record, kind: Kind) -> NDArray[np.float64]:
    """Fraction of the units in which each mask differs from the one before, (steps - 1,)."""
    units = record.rules[kind].units
    before: NDArray[np.bool_] | None = None
    parts = []
    for masks in record.masks(kind, np.arange(record.trajectory.steps)):
        joined = masks if before is None else np.concatenate([before, masks])
        parts.append(hamming_distance(joined[1:], joined[:-1], units=units))
        before = masks[-1:]
    return np.concatenate(parts)


def _rows(distances: Mapping[Kind, NDArray[np.float64]]) -> Iterator[tuple[object, ...]]:
    for position, values in enumerate(zip(*distances.values(), strict=True)):
        yield (position + 1, *(f"{value:.6f}" for value in values))
