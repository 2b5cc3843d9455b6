"""Detection over a recorded trajectory: the same code as online, fed in chunks."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator

import numpy as np

from earlybird.config import SearchConfig, check_search_config
from earlybird.detectors.detection import Detection
from earlybird.detectors.draw import Draw
from earlybird.detectors.scores import RunningScore, Scores, channels_of
from earlybird.errors import InputError
from earlybird.masks import UnitCosts
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import Channel, How, Kind, Score

# Scores held at once, small enough for a processor's cache; and how many chunks of a file are read before it is mapped
# anew, so that what was read does not stay in memory.
_CHUNK_BYTES = 1 << 22
_MAPPED_CHUNKS = 16


def detect(trajectory: Trajectory, config: SearchConfig) -> Draw | None:
    """When would the detector have drawn? The same answer as online, to the step.

    Args:
        trajectory: the recording; what a uniform ticket may keep of heads is what its search has recorded.
        config: what is pruned, by which score and detector; how coefficients are trained does not matter here.

    Returns:
        The draw, or None if the masks did not settle within the recorded steps.

    Raises:
        InputError: a setting that does not fit the recording, a first check after the recorded steps, or scores that
            are not recorded or not finite.
    """
    if not isinstance(trajectory, Trajectory):
        raise InputError(
            f"trajectory must be a Trajectory, got {reprlib.repr(trajectory)}; of files read it by"
            " Trajectory.open(path)"
        )
    check_search_config(config)
    detection = detection_of(trajectory, config)
    check_length(trajectory, detection)
    return detected(trajectory, detection)


def detection_of(trajectory: Trajectory, config: SearchConfig, costs: UnitCosts | None = None) -> Detection:
    """The detection that a config asks for on a recording, before its first step.

    Args:
        trajectory: the recording.
        config: what is asked for.
        costs: of the units, where there is a budget and the recording does not tell them.

    Raises:
        InputError: see `Detection`.
    """
    shape = trajectory.shape
    return Detection(
        config,
        shape,
        total_steps=shape.total_steps,
        steps_per_epoch=shape.steps_per_epoch,
        costs=costs,
        recorded=shape.channels,
    )


def detected(trajectory: Trajectory, detection: Detection) -> Draw | None:
    """Feed a recording to a detection, up to its draw."""
    for scores in score_chunks(trajectory, detection.kinds, detection.score):
        if (draw := detection.update(scores)) is not None:
            return draw
    return None


def check_length(trajectory: Trajectory, detection: Detection) -> None:
    """Raise InputError where so few steps were recorded that a detector cannot look even once."""
    first = max(detector.first_check for detector in detection.detectors.values())
    if trajectory.steps < first:
        raise InputError(
            f"the trajectory holds {trajectory.steps} of {trajectory.total_steps} planned steps, and"
            f" {detection.factory.name} first looks after {first}; choose a detector that looks earlier, or"
            " shorter spans for this one"
        )


def draw_at(
    trajectory: Trajectory, step: int, config: SearchConfig, how: How = "step", costs: UnitCosts | None = None
) -> Draw:
    """The draw at a 0-based step of the recording, whatever a detector says.

    Raises:
        InputError: the step was not recorded, or see `Detection`.
    """
    if not 0 <= step < trajectory.steps:
        raise InputError(f"step must lie in 0..{trajectory.steps - 1}, the recorded steps, got {step}")
    detection = detection_of(trajectory, config, costs)
    for scores in score_chunks(trajectory, detection.kinds, detection.score):
        first, count = next((part.first, len(part)) for part in scores.values())
        if step < first + count:
            return detection.draw_at(step, {kind: part.at(step - first) for kind, part in scores.items()}, how)
    raise AssertionError("every recorded step lies in a chunk")


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
