"""The append-only record of the evidence that scores are made of, step by step.

Channels: `deviation` of the coefficient from 1 (what a search records: float32 has a resolution of 1e-10
there, and of 6e-8 around 1), `coefficient` as others recorded it, `gradient` (its magnitude) and
`squared-gradient` of the coefficient.

On disk a trajectory is a directory: `trajectory.json` describes it, `{kind}.{channel}.f32` holds
little-endian float32 records of one step each, `chunks.jsonl` says which steps are whole. A chunk counts from
the moment its line in `chunks.jsonl` is complete, and that line is written last; so a run killed at any
moment leaves a trajectory that opens up to its last complete chunk, and only numbers are read from a file.
"""

from earlybird.trajectory.files import discard
from earlybird.trajectory.shape import Shape
from earlybird.trajectory.trajectory import Trajectory
from earlybird.trajectory.writer import TrajectoryWriter, write_trajectory

__all__ = [
    "Shape",
    "Trajectory",
    "TrajectoryWriter",
    "discard",
    "write_trajectory",
]
