"""When Hamming's rule draws, for every number of cached masks and every threshold."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from earlybird.criteria import hamming_distance
from earlybird.detectors.observer import Observer
from earlybird.detectors.offline import score_chunks
from earlybird.report.figures.figure_with_data import FigureWithData
from earlybird.report.figures.record import Record
from earlybird.report.figures.style import frameless, titled_figure
from earlybird.report.palette import LIGHT
from earlybird.vocabulary import Kind

QUEUES = (2, 5, 10, 20, 50)
THRESHOLDS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005)


def hamming_draws(record: Record) -> FigureWithData:
    """The step at which each kind settles by that rule and those settings (You et al. 2020, section 3.3)."""
    steps = {kind: settling_steps(record, kind) for kind in record.kinds}
    figure = titled_figure(f"{record.name}: the step at which Hamming's rule says settled", 3.0)
    grid = figure.subplots(1, len(steps), squeeze=False)
    for axes, (kind, table) in zip(grid.flat, steps.items(), strict=True):
        share = np.where(table < 0, np.nan, (table + 1) / record.trajectory.total_steps)
        axes.imshow(np.nan_to_num(share, nan=1.0), cmap="Blues", vmin=0, vmax=1.6, aspect="auto")
        for row, column in np.ndindex(table.shape):
            step = table[row, column]
            text = "never" if step < 0 else f"{step:,}\n{share[row, column]:.1%}"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=LIGHT["ink"])
        axes.set_xticks(range(len(THRESHOLDS)), [f"{threshold:g}" for threshold in THRESHOLDS])
        axes.set_yticks(range(len(QUEUES)), [str(queue) for queue in QUEUES])
        axes.set_xlabel("threshold", color=LIGHT["muted"])
        axes.set_ylabel("masks cached", color=LIGHT["muted"])
        axes.set_title(kind, fontsize=10, color=LIGHT[kind])
        frameless(axes)
    rows = [
        (kind, queue, threshold, "" if table[row, column] < 0 else table[row, column])
        for kind, table in steps.items()
        for row, queue in enumerate(QUEUES)
        for column, threshold in enumerate(THRESHOLDS)
    ]
    return FigureWithData(figure, ("kind", "masks", "threshold", "step"), rows)


def settling_steps(record: Record, kind: Kind) -> NDArray[np.int64]:
    """The first settled step for each of `QUEUES` and `THRESHOLDS`, -1 where there is none."""
    rule = record.rules[kind]
    observer = Observer(kind, rule)
    cached: deque[NDArray[np.bool_]] = deque(maxlen=max(QUEUES) - 1)
    found = np.full((len(QUEUES), len(THRESHOLDS)), -1, dtype=np.int64)
    for scores in score_chunks(record.trajectory, (kind,), record.score):
        for observation in observer.observations(scores[kind]):
            # A mask that ties decide is no evidence, here as in the detector.
            if cached and observation.evidence:
                distances = hamming_distance(np.stack(cached)[::-1], observation.mask, units=rule.units)
                for row, queue in enumerate(QUEUES):
                    if len(cached) >= queue - 1:
                        settled = distances[: queue - 1].max() <= np.array(THRESHOLDS)
                        found[row] = np.where((found[row] < 0) & settled, observation.step, found[row])
            cached.append(observation.mask)
        if (found >= 0).all():
            break
    return found
