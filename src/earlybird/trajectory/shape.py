"""What a trajectory records: kinds of unit, channels of evidence, sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from earlybird.errors import InputError
from earlybird.masks import UnitCosts
from earlybird.vocabulary import Channel, Kind, Measure


@dataclass(frozen=True)
class Shape:
    """What is recorded: units of each block per kind, the channels, and the planned length of the run.

    `key_value_groups` are those of each attention block, given where any of them shares keys and values;
    `expert_groups` the experts of each MLP block, given where a mixture stores them as one tensor;
    `routing_groups` the groups that each mixture's router compares, given where any does;
    `valid_head_counts` the numbers of heads that a uniform ticket may keep, given where the search asked for one;
    `costs` what a unit costs, given where there are gradients, of which a ticket can be drawn at any budget.
    """

    units: Mapping[Kind, tuple[int, ...]]
    channels: tuple[Channel, ...]
    total_steps: int
    steps_per_epoch: float | None = None
    model: str = ""  # fingerprint of the anatomy, so that a foreign trajectory is recognised
    key_value_groups: tuple[int, ...] | None = None
    valid_head_counts: tuple[int, ...] | None = None
    costs: UnitCosts | None = None
    expert_groups: tuple[int, ...] | None = None
    routing_groups: tuple[int, ...] | None = None

    @property
    def least_experts(self) -> tuple[int, ...]:
        """None: how many experts a router works with, the model knows."""
        return ()

    def unit_costs(self, measure: Measure, tokens: int) -> UnitCosts:
        """What each unit costs.

        Raises:
            InputError: it was not recorded.
        """
        if self.costs is None or not self.costs.counted_as(measure, tokens):
            held = "nothing of it" if self.costs is None else f"its {self.costs.counted}"
            wanted = f"{measure} of {tokens} tokens" if measure == "flops" else measure
            raise InputError(
                f"the record does not tell what a unit costs in {wanted}, it holds {held}: draw from the run's"
                " directory, where the model can be counted (`earlybird draw RUN`), or give ratios"
            )
        return self.costs

    def record(self, kind: Kind) -> tuple[int, int]:
        """Shape of one step of a kind: (layers, widest block)."""
        return len(self.units[kind]), max(self.units[kind], default=0)
