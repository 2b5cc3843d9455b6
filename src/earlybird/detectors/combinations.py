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
        super().__init__()
        if len(members) < 2:
            raise InputError(f"a combination needs at least 2 detectors, got {len(members)}")
        self._members = tuple(members)
        self.criteria = tuple(dict.fromkeys(criterion for member in members for criterion in member.criteria))
        self.first_check = self.earliest([member.first_check for member in members])
        self._observed = 0

    def earliest(self, first_checks: Sequence[int]) -> int:
        """When the combination may first be judged."""
        return max(first_checks)

    def update(self, observation: Observation) -> None:
        """Hand the observation to every member."""
        self._observed += 1
        for member in self._members:
            member.update(observation)
        self.checked = self._observed >= self.first_check and any(member.checked for member in self._members)
        if not self.checked:
            return
        self.statistic = sum(member.settled for member in self._members) / len(self._members)
        # A member that settled earlier must not decide at a step that says nothing.
        self.settled = self.enough(self.statistic) and observation.evidence

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
        super().__init__()
        if times < 2:
            raise InputError(f"repeat needs at least 2 checks in a row, got {times}")
        self._member = member
        self._times = times
        self.criteria = member.criteria
        self.first_check = member.first_check
        self._in_a_row = 0

    def update(self, observation: Observation) -> None:
        """Hand the observation on, and count."""
        self._member.update(observation)
        self.checked = self._member.checked
        if not self.checked:
            return
        self.statistic = self._member.statistic
        self._in_a_row = self._in_a_row + 1 if self._member.settled else 0
        self.settled = self._in_a_row >= self._times
