"""Detectors made of detectors: all of, any of, several times in a row."""

from __future__ import annotations

from collections.abc import Sequence

from earlybird.detectors.base import Detector, Observation
from earlybird.errors import InputError


class AllOf(Detector):
    """Settled when every member is, each by its newest check.

    A check is any member's check once all have had their first. The statistic is the share of the members that
    are settled.

    Args:
        members: two detectors or more, of one kind of unit.
    """

    def __init__(self, members: Sequence[Detector]) -> None:
        if len(members) < 2:
            raise InputError(f"a combination needs at least 2 detectors, got {len(members)}")
        self._members = tuple(members)
        super().__init__(
            earliest=self.earliest([member.first_check for member in members]),
            criteria=tuple(dict.fromkeys(criterion for member in members for criterion in member.criteria)),
        )

    def earliest(self, first_checks: Sequence[int]) -> int:
        """When the combination may first be judged."""
        return max(first_checks)

    def hold(self, observation: Observation) -> None:
        """Hand the observation to every member."""
        for member in self._members:
            member.update(observation)

    def is_due(self, observation: Observation) -> bool:
        """Whether a member has just looked."""
        return super().is_due(observation) and any(member.checked for member in self._members)

    def check(self, observation: Observation) -> tuple[float, bool]:
        """The share of settled members."""
        share = sum(member.settled for member in self._members) / len(self._members)
        return share, self.enough(share)

    def chosen(self, observation: Observation) -> Observation:
        """As the first settled member chooses that does not take the observation itself."""
        choices = (member.chosen(observation) for member in self._members if member.settled)
        return next((choice for choice in choices if choice is not observation), observation)

    def enough(self, share: float) -> bool:
        """Whether so many members suffice."""
        return share == 1


class AnyOf(AllOf):
    """Settled when at least one member is, by its newest check; a check is any member's check."""

    def earliest(self, first_checks: Sequence[int]) -> int:
        """When the first member may be judged."""
        return min(first_checks)

    def enough(self, share: float) -> bool:
        """One is enough."""
        return share > 0


class Repeated(Detector):
    """Settled when a detector was settled at so many checks in a row; the statistic is its own.

    Args:
        member: the detector.
        times: checks in a row.
    """

    def __init__(self, member: Detector, times: int) -> None:
        super().__init__(earliest=member.first_check, criteria=member.criteria)
        if times < 2:
            raise InputError(f"repeat needs at least 2 checks in a row, got {times}")
        self._member = member
        self._times = times
        self._in_a_row = 0

    def hold(self, observation: Observation) -> None:
        """Hand the observation on."""
        self._member.update(observation)

    def is_due(self, observation: Observation) -> bool:
        """Whether the member has just looked."""
        return self._member.checked

    def check(self, observation: Observation) -> tuple[float | None, bool]:
        """Count the checks in a row."""
        self._in_a_row = self._in_a_row + 1 if self._member.settled else 0
        return self._member.statistic, self._in_a_row >= self._times

    def chosen(self, observation: Observation) -> Observation:
        """As the member chooses."""
        return self._member.chosen(observation)
