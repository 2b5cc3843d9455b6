"""What the masks do over the steps: their nuclear norm, and how near they are to the last recorded one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earlybird.criteria import captured_by, nuclear_norm, overlap
from earlybird.detectors.offline import score_channel, score_chunks
from earlybird.detectors.scores import RunningScore
from earlybird.masks import MaskRule
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import Kind, Score

MOST_POINTS = 1000
MOST_MASKS = 60
_CHUNK_BYTES = 1 << 25


@dataclass(frozen=True)
class MaskSeries:
    """One kind's masks over some steps.

    Attributes:
        units: of each layer.
        steps: the 0-based steps looked at, (n,), increasing.
        norm: nuclear norm of each mask, (n,).
        overlap: with the mask of the last recorded step, (n,).
        captured: of the last recorded step's scores, (n,).
        shown_steps: the steps, at most some sixty, whose masks are kept, (m,), increasing; the last one among them.
        shown: those masks, (m, layers, units).
    """

    units: tuple[int, ...]
    steps: NDArray[np.int64]
    norm: NDArray[np.float64]
    overlap: NDArray[np.float64]
    captured: NDArray[np.float64]
    shown_steps: NDArray[np.int64]
    shown: NDArray[np.bool_]


def sampled_steps(steps: int, most: int = MOST_POINTS, include: Collection[int] = ()) -> NDArray[np.int64]:
    """At most `most` evenly spaced ones of `steps` steps, the first, the last and `include` among them."""
    wanted = np.array([step for step in include if 0 <= step < steps], dtype=np.int64)
    even = np.linspace(0, steps - 1, min(steps, max(2, most - len(wanted)))).round().astype(np.int64)
    return np.union1d(even, wanted)


def coefficients_at(trajectory: Trajectory, kind: Kind, steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """The magnitudes of the coefficients at some steps, (n, layers, units).

    Raises:
        InputError: the trajectory did not record coefficients.
    """
    channel = score_channel(trajectory, kind, "coefficient")
    # A coefficient's score depends on its own step alone, so that steps may be left out.
    return RunningScore("coefficient", channel).update(trajectory.evidence(kind, channel)[steps]).values


def chunks_of(trajectory: Trajectory, kind: Kind, steps: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The steps in pieces whose coefficients fit into memory many times over."""
    layers, width = trajectory.shape.record(kind)
    size = max(1, _CHUNK_BYTES // max(1, 8 * layers * width))
    return [steps[start : start + size] for start in range(0, len(steps), size)]


def scores_at(
    trajectory: Trajectory, kind: Kind, score: Score, steps: NDArray[np.int64]
) -> Iterator[NDArray[np.float64]]:
    """The scores at some steps in increasing order, some at a time, (n, layers, units).

    Raises:
        InputError: the trajectory did not record what the score needs.
    """
    if score == "coefficient":
        for chunk in chunks_of(trajectory, kind, steps):
            yield coefficients_at(trajectory, kind, chunk)
        return
    first = 0
    for scores in score_chunks(trajectory, (kind,), score):
        here = steps[(steps >= first) & (steps < first + len(scores[kind]))]
        if len(here):
            yield scores[kind].values[here - first]
        first += len(scores[kind])


def mask_series(
    trajectory: Trajectory,
    kind: Kind,
    rule: MaskRule,
    score: Score,
    steps: NDArray[np.int64] | None = None,
    include: Collection[int] = (),
) -> MaskSeries:
    """Norm, overlap and captured at `steps` (by default all), judged by the last recorded step.

    The masks of some of these steps are kept, those of `include` among them.

    Raises:
        InputError: what the score needs is not recorded, or is not finite.
    """
    if steps is None:
        steps = np.arange(trajectory.steps)
    (reference,) = next(scores_at(trajectory, kind, score, np.array([trajectory.steps - 1])))
    last = rule.masks(reference)
    shown = np.zeros(len(steps), dtype=bool)
    shown[np.searchsorted(steps, [step for step in include if step in steps])] = True
    shown[sampled_steps(len(steps), MOST_MASKS)] = True
    norms, overlaps, gains, kept = [], [], [], []
    first = 0
    for scores in scores_at(trajectory, kind, score, steps):
        masks = rule.masks(scores)
        norms.append(nuclear_norm(masks))
        overlaps.append(overlap(masks, last))
        gains.append(captured_by(rule, masks, reference))
        kept.append(masks[shown[first : first + len(masks)]])
        first += len(masks)
    return MaskSeries(
        trajectory.shape.units[kind],
        steps,
        np.concatenate(norms),
        np.concatenate(overlaps),
        np.concatenate(gains),
        steps[shown],
        np.concatenate(kept),
    )


def moving_average(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Centred mean over `window` values, (n,) -> (n,); towards the ends over what there is on both sides."""
    positions = np.arange(len(values))
    reach = np.minimum(np.minimum(positions, positions[::-1]), window // 2)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray((sums[positions + reach + 1] - sums[positions - reach]) / (2 * reach + 1))
