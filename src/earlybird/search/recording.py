"""Where a search writes what it measures, and what it goes on from."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from earlybird.detectors.streams import Streams
from earlybird.errors import InputError
from earlybird.masks import UnitCosts
from earlybird.trajectory import Shape, Trajectory, TrajectoryWriter, discard
from earlybird.trajectory.files import DESCRIPTION
from earlybird.vocabulary import KINDS, Channel

_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class Recording:
    """The record of a search; with one, a search can be resumed and studied afterwards.

    Of several processes, all of which have to give it, the first writes.

    Attributes:
        directory: of the trajectory.
        resume: a file written by `Search.save_state`; the trajectory is cut back to its step.
        overwrite: let the record take the place of a trajectory that is there, once all else is found in order.
        gradients: record the coefficients' gradients whatever the score is, to study other scores later.
    """

    directory: str | os.PathLike[str]
    resume: str | os.PathLike[str] | None = None
    overwrite: bool = False
    gradients: bool = False

    @property
    def path(self) -> Path:
        """The directory."""
        return Path(self.directory)

    def refuse_to_replace(self) -> None:
        """Raise InputError where a new record would take the place of another one unasked."""
        if self.resume is not None or self.overwrite or not (self.path / DESCRIPTION).exists():
            return
        if Trajectory.open(self.path).steps:
            raise InputError(
                f"{self.directory} holds a trajectory already: give the search a directory of its own, resume= to go on"
                " with that one, or overwrite=True to lose it"
            )

    def writer(self, shape: Shape, *, keep_steps: int, keep_checksum: int | None) -> TrajectoryWriter:
        """Open the record: anew, or cut back to the step that the search goes on from.

        Args:
            shape: of the record.
            keep_steps: which were recorded before.
            keep_checksum: of what was recorded of the last of them, where that is known.

        Raises:
            InputError: the record that is there is another one, or lacks steps.
        """
        step_bytes = 4 * len(shape.channels) * sum(math.prod(shape.record(kind)) for kind in shape.units)
        chunk = min(max(1, shape.total_steps // 100), max(1, _CHUNK_BYTES // step_bytes))
        if self.resume is None:
            discard(self.path)
        return TrajectoryWriter(self.path, shape, chunk_steps=chunk, keep_steps=keep_steps, keep_checksum=keep_checksum)


def shape_of_record(
    streams: Streams,
    costs: UnitCosts | None,
    channels: tuple[Channel, ...],
    total_steps: int,
    steps_per_epoch: float | None,
    model: str,
) -> Shape:
    """What the record of a search says of itself: units, groups, the heads that a block may keep, and what they cost.

    Args:
        streams: of the search.
        costs: of the units, where they are known.
        channels: that are recorded.
        total_steps: planned.
        steps_per_epoch: where it is known.
        model: fingerprint of its anatomy.
    """
    rules = streams.kinds
    heads, neurons, experts = (rules.get(kind) for kind in KINDS)
    return Shape(
        {kind: tuple(rule.units) for kind, rule in rules.items()},
        channels,
        total_steps,
        steps_per_epoch,
        model,
        None if heads is None or heads.groups is None else tuple(heads.groups),
        None if heads is None or heads.valid_counts is None else tuple(heads.valid_counts),
        costs,
        None if neurons is None or neurons.groups is None else tuple(neurons.groups),
        None if experts is None or experts.groups is None else tuple(experts.groups),
    )
