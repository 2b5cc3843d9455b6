"""Detection over a recorded trajectory: the same code as online, fed in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from earlybird.detectors.criterion import CriterionName, criterion_named
from earlybird.detectors.detection import Detection, Joint, forced_draw
from earlybird.detectors.draw import Draw
from earlybird.detectors.expression import choice_of
from earlybird.detectors.presets import DEFAULT_DETECTOR
from earlybird.detectors.pruning import Pruning
from earlybird.detectors.scores import RunningScore, Score, Scores, channels_of
from earlybird.detectors.settings import Choice, ChosenSettings
from earlybird.detectors.spans import SpanLike, parse_span
from earlybird.errors import InputError
from earlybird.groups import Groups
from earlybird.masks import Scope, pruned_count, rounded_count
from earlybird.trajectory import Channel, Kind, Trajectory

# Scores held at once, small enough for a processor's cache; and how many chunks of a file are read before it is mapped
# anew, so that what was read does not stay in memory.
_CHUNK_BYTES = 1 << 22
_MAPPED_CHUNKS = 16


def prunings_for(
    units: Mapping[Kind, tuple[int, ...]],
    *,
    heads: float | None,
    neurons: float | None,
    heads_scope: Scope = "layer",
    neurons_scope: Scope = "global",
    uniform: bool = False,
    key_value_groups: tuple[int, ...] | None = None,
    groups: Groups | None = None,
    round_to: int = 1,
    admitted_heads: tuple[int, ...] | None = None,
) -> dict[Kind, Pruning]:
    """What is to be pruned, per kind whose ratio is given and above 0.

    `round_to` concerns the neurons; `admitted_heads` are the numbers of heads that a uniform ticket may keep.

    Raises:
        InputError: a ratio outside [0, 1), or for a kind that is not there; `round_to` below 1.
    """
    rounded_count(1, 1, round_to)
    if groups not in (None, "whole", "within"):
        raise InputError(f'groups must be "whole" or "within", got {groups!r}')
    wanted: tuple[tuple[Kind, float | None, Scope], ...] = (
        ("heads", heads, heads_scope),
        ("neurons", neurons, neurons_scope),
    )
    prunings: dict[Kind, Pruning] = {}
    for kind, ratio, scope in wanted:
        if ratio is None:
            continue
        pruned_count(ratio, 1)
        if ratio == 0:
            continue
        if not units.get(kind):
            raise InputError(f"a ratio for {kind} was given ({ratio}), but there are no {kind} to prune")
        if scope not in ("layer", "global"):
            raise InputError(f'{kind}_scope must be "layer" or "global", got {scope!r}')
        if kind == "heads":
            admitted = admitted_heads if uniform else None
            prunings[kind] = Pruning(ratio, scope, units[kind], uniform, key_value_groups, groups, admitted=admitted)
        else:
            prunings[kind] = Pruning(ratio, scope, units[kind], uniform, round_to=round_to)
    if not prunings:
        raise InputError("give a ratio above 0 for heads, for neurons or for both: there is nothing to prune")
    return prunings


def detector_choice(
    detector: str | None = None,
    *,
    smoothing: SpanLike = None,
    window: SpanLike = None,
    every: SpanLike = None,
    start: SpanLike = None,
    lag: SpanLike = None,
    criterion: CriterionName | None = None,
    threshold: float | None = None,
) -> Choice:
    """A detector by name or expression with the settings given; spans as `parse_span` reads them.

    Raises:
        InputError: an unknown name, a span that cannot be read, a threshold outside (0, 1).
    """
    if threshold is not None and not 0 < threshold < 1:
        raise InputError(f"threshold must lie in (0, 1), got {threshold}")
    chosen = ChosenSettings(
        parse_span(smoothing),
        parse_span(window),
        parse_span(every),
        parse_span(start),
        parse_span(lag),
        None if criterion is None else criterion_named(criterion),
        threshold,
    )
    return choice_of(DEFAULT_DETECTOR if detector is None else detector, chosen)


def score_channel(trajectory: Trajectory, kind: Kind, score: Score) -> Channel:
    """The recorded channel that holds a score's evidence.

    Raises:
        InputError: the trajectory did not record it.
    """
    channels = channels_of(score)
    recorded = [channel for channel in channels if channel in trajectory.shape.channels]
    if not recorded:
        held = ", ".join(trajectory.shape.channels)
        raise InputError(f"the trajectory did not record what the score {score!r} needs for {kind}; it holds {held}")
    return recorded[0]


def score_chunks(
    trajectory: Trajectory, kinds: tuple[Kind, ...], score: Score = "coefficient"
) -> Iterator[dict[Kind, Scores]]:
    """The scores of all steps in order, some steps at a time, per kind."""
    channels = {kind: score_channel(trajectory, kind, score) for kind in kinds}
    running = {kind: RunningScore(score, channel) for kind, channel in channels.items()}
    step_bytes = 8 * sum(int(np.prod(trajectory.shape.record(kind))) for kind in kinds)
    size = max(1, _CHUNK_BYTES // max(1, step_bytes))
    for start in range(0, trajectory.steps, size):
        if start % (_MAPPED_CHUNKS * size) == 0:
            evidence = {kind: trajectory.evidence(kind, channel) for kind, channel in channels.items()}
        yield {kind: running[kind].update(values[start : start + size]) for kind, values in evidence.items()}


def detect(
    trajectory: Trajectory,
    *,
    heads: float | None = None,
    neurons: float | None = None,
    detector: str | None = None,
    heads_scope: Scope = "layer",
    neurons_scope: Scope = "global",
    uniform: bool = False,
    round_to: int = 1,
    admitted_heads: tuple[int, ...] | None = None,
    score: Score = "coefficient",
    smoothing: SpanLike = None,
    window: SpanLike = None,
    every: SpanLike = None,
    start: SpanLike = None,
    lag: SpanLike = None,
    criterion: CriterionName | None = None,
    threshold: float | None = None,
    joint: Joint = "latched",
    groups: Groups | None = None,
) -> Draw | None:
    """When would the detector have drawn? The same answer as online, to the step.

    Args:
        trajectory: the recording.
        heads: ratio of heads to prune; a kind without a ratio is not looked at.
        neurons: ratio of neurons to prune.
        detector: a name from `earlybird detectors`, or several put together as "all(equivalence,
            half-time-capture)"; by default `rank-correlation`.
        heads_scope: where the heads' threshold is taken.
        neurons_scope: where the neurons' threshold is taken.
        uniform: keep the same count in every block.
        round_to: keep a multiple of so many neurons in every block, see `mask_at_ratio`.
        admitted_heads: with `uniform`, the numbers of heads that the model's config admits
            (`Anatomy.admitted_heads`); by default what a uniform search has recorded.
        score: what ranks the units.
        smoothing: moving average, a span: steps (int), fraction of the run (float), "2%" or "3ep".
        window: smoothed values in a test, a span.
        every: steps between checks, a span.
        start: no check before so many steps, a span.
        lag: how long ago the mask, or the order of the units, is that today's is compared with, a span.
        criterion: the series that a windowed detector reads, by default the masks' nuclear norm; see
            `earlybird.detectors.criterion.Criterion`.
        threshold: what the statistic is compared with.
        joint: whether kinds may settle one after the other ("latched") or must at one check.
        groups: what is pruned of heads that share keys and values, see `mask_at_ratio`.

    Returns:
        The draw, or None if the masks did not settle within the recorded steps.

    Raises:
        InputError: see the arguments' bounds; a first check after the recorded steps; scores that are not recorded
            or not finite.
    """
    prunings = prunings_for(
        trajectory.shape.units,
        heads=heads,
        neurons=neurons,
        heads_scope=heads_scope,
        neurons_scope=neurons_scope,
        uniform=uniform,
        key_value_groups=trajectory.shape.key_value_groups,
        groups=groups,
        round_to=round_to,
        admitted_heads=trajectory.shape.admitted_heads if admitted_heads is None else admitted_heads,
    )
    choice = detector_choice(
        detector,
        smoothing=smoothing,
        window=window,
        every=every,
        start=start,
        lag=lag,
        criterion=criterion,
        threshold=threshold,
    )
    detection = Detection(
        prunings,
        choice,
        total_steps=trajectory.total_steps,
        score=score,
        steps_per_epoch=trajectory.shape.steps_per_epoch,
        joint=joint,
    )
    check_length(trajectory, detection)
    for scores in score_chunks(trajectory, tuple(prunings), score):
        if (draw := detection.update(scores)) is not None:
            return draw
    return None


def check_length(trajectory: Trajectory, detection: Detection) -> None:
    """Raise InputError where so few steps were recorded that a detector cannot look even once."""
    first = max(detector.first_check for detector in detection.detectors.values())
    if trajectory.steps < first:
        raise InputError(
            f"the trajectory holds {trajectory.steps} of {trajectory.total_steps} planned steps, and"
            f" {detection.choice.name} first looks after {first}; choose a shorter window, or a detector that looks"
            " earlier"
        )


def draw_at(trajectory: Trajectory, step: int, prunings: Mapping[Kind, Pruning], score: Score, how: str) -> Draw:
    """The draw at a 0-based step of the recording, whatever a detector says; `how` stands in the place of its name.

    Raises:
        InputError: the step was not recorded.
    """
    if not 0 <= step < trajectory.steps:
        raise InputError(f"step must lie in 0..{trajectory.steps - 1}, the recorded steps, got {step}")
    first = 0
    for scores in score_chunks(trajectory, tuple(prunings), score):
        count = len(next(iter(scores.values())))
        if step < first + count:
            here = {kind: values.at(step - first) for kind, values in scores.items()}
            return forced_draw(prunings, here, step=step, total_steps=trajectory.total_steps, how=how, score=score)
        first += count
    raise AssertionError("every recorded step lies in a chunk")
