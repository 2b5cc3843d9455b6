"""What a trajectory records: kinds of unit, channels of evidence, sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from earlybird.vocabulary import Channel, Kind


@dataclass(frozen=True)
class Shape:
    """What is recorded: units of each block per kind, the channels, and the planned length of the run.

    `key_value_groups` are those of each attention block, given where any of them shares keys and values;
    `valid_head_counts` the numbers of heads that a uniform ticket may keep, given where the search asked for one.
    """

    units: Mapping[Kind, tuple[int, ...]]
    channels: tuple[Channel, ...]
    total_steps: int
    steps_per_epoch: float | None = None
    model: str = ""  # fingerprint of the anatomy, so that a foreign trajectory is recognised
    key_value_groups: tuple[int, ...] | None = None
    valid_head_counts: tuple[int, ...] | None = None

    def record(self, kind: Kind) -> tuple[int, int]:
        """Shape of one step of a kind: (layers, widest block)."""
        return len(self.units[kind]), max(self.units[kind], default=0)
