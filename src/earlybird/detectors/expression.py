"""What a user writes for a detector: a name, or names put together.

    equivalence
    all(equivalence, half-time-capture)     settled when every one is
    any(ols, adf)                           when one is
    repeat(equivalence, 2)                  when it is at two checks in a row
    stationary-share(adf)                   when the test finds most units' own scores settled

They may be nested.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from earlybird.detectors.base import Detector
from earlybird.detectors.combinations import AllOf, AnyOf, Repeated
from earlybird.detectors.presets import detector_named
from earlybird.detectors.pruning import Pruning
from earlybird.detectors.rule_presets import stationary_share
from earlybird.detectors.scores import Score
from earlybird.detectors.settings import Choice, ChosenSettings, DetectorChoice
from earlybird.errors import InputError
from earlybird.trajectory import Kind

_TOKEN = re.compile(r"[^\s(),]+|[(),]")
_LONGEST = 500


@dataclass(frozen=True)
class Combination(Choice):
    """Several choices and what makes one detector of theirs."""

    name: str
    members: tuple[Choice, ...]
    combine: Callable[[list[Detector]], Detector]
    needed: float | None = None  # None: the only member's own

    @property
    def summary(self) -> str:
        """What the members do."""
        return " ".join(member.summary for member in self.members)

    @property
    def threshold(self) -> float:
        """The share of settled members that is reached or exceeded, or the only member's threshold."""
        return self.members[0].threshold if self.needed is None else self.needed

    @property
    def settled_below(self) -> bool:
        """As the only member says; a share has to be large."""
        return self.needed is None and self.members[0].settled_below

    def member(
        self, kind: Kind, pruning: Pruning, score: Score, total_steps: int, steps_per_epoch: float | None
    ) -> Detector:
        """Build the members, then their combination."""
        built = [member.member(kind, pruning, score, total_steps, steps_per_epoch) for member in self.members]
        return self.combine(built)


def choice_of(text: str, chosen: ChosenSettings | None = None) -> Choice:
    """The choice that a text stands for.

    Settings go to every member that has them; a threshold only where there is one member.

    Raises:
        InputError: an unknown name, with the nearest one; text that cannot be read; a setting that no member has.
    """
    chosen = chosen or ChosenSettings()
    choice = _Reader(text).read()
    if isinstance(choice, DetectorChoice):
        return replace(choice, chosen=chosen)
    leaves = _leaves(choice)
    for name in chosen.given:
        if not any(leaf.specification.has(name, chosen.criterion) for leaf in leaves):
            raise InputError(f"none of the detectors in {text} has a setting {name!r}; leave it out")
    if chosen.threshold is not None and len(leaves) > 1:
        raise InputError(f"threshold cannot be set for {text}: its detectors compare different things")
    return _with_settings(choice, chosen)


def _leaves(choice: Choice) -> list[DetectorChoice]:
    if isinstance(choice, Combination):
        return [leaf for member in choice.members for leaf in _leaves(member)]
    return [choice] if isinstance(choice, DetectorChoice) else []


def _with_settings(choice: Choice, chosen: ChosenSettings) -> Choice:
    if isinstance(choice, Combination):
        return replace(choice, members=tuple(_with_settings(member, chosen) for member in choice.members))
    if isinstance(choice, DetectorChoice):
        return replace(choice, chosen=chosen.restricted(choice.specification))
    return choice


class _Reader:
    """Reads a text from left to right."""

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise InputError(f"a detector is written in at most {_LONGEST} characters, got {len(text)}")
        self._text = text
        self._tokens: list[str] = _TOKEN.findall(text)

    def read(self) -> Choice:
        choice = self._choice()
        if self._tokens:
            raise self._unreadable()
        return choice

    def _choice(self) -> Choice:
        name = self._next()
        if self._tokens[:1] != ["("]:
            return DetectorChoice(name, detector_named(name))
        self._next()
        if name == "repeat":
            member = self._choice()
            self._expect(",")
            times = self._next()
            if not times.isdecimal():
                raise self._unreadable()
            choice: Choice = _repeated(member, int(times))
        elif name == "stationary-share":
            choice = _share(self._next())
        elif name in ("all", "any"):
            members = [self._choice()]
            while self._tokens[:1] == [","]:
                self._next()
                members.append(self._choice())
            choice = _combined(name, members)
        else:
            raise self._unreadable()
        self._expect(")")
        return choice

    def _next(self) -> str:
        if not self._tokens:
            raise self._unreadable()
        return self._tokens.pop(0)

    def _expect(self, token: str) -> None:
        if self._next() != token:
            raise self._unreadable()

    def _unreadable(self) -> InputError:
        return InputError(
            f"a detector is a name, all(A, B), any(A, B), repeat(A, times) or stationary-share(TEST), got"
            f" {self._text!r}"
        )


def _repeated(member: Choice, times: int) -> Choice:
    if times < 2:
        raise InputError(f"repeat needs at least 2 checks in a row, got {times}")
    return Combination(f"repeat({member.name}, {times})", (member,), lambda built: Repeated(built[0], times))


def _combined(name: str, members: list[Choice]) -> Choice:
    if len(members) < 2:
        raise InputError(f"{name} needs at least 2 detectors, got {len(members)}")
    written = f"{name}({', '.join(member.name for member in members)})"
    if name == "all":
        return Combination(written, tuple(members), AllOf, needed=1.0)
    return Combination(written, tuple(members), AnyOf, needed=1 / len(members))


def _share(name: str) -> Choice:
    test = detector_named(name).test
    if test is None:
        raise InputError(f"stationary-share needs a test on windows, such as ols or adf; {name} is none")
    return DetectorChoice(f"stationary-share({name})", stationary_share(test, name))
