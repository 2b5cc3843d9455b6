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
from dataclasses import dataclass, fields, replace

from earlybird.config import DEFAULT_SCORE, DetectorConfig
from earlybird.detectors.base import Detector
from earlybird.detectors.combinations import AllOf, AnyOf, Repeated
from earlybird.detectors.factory import DetectorFactory, NamedDetector, OwnDetector, given_settings, restricted
from earlybird.detectors.presets import DEFAULT_DETECTORS, detector_named
from earlybird.detectors.rule_presets import stationary_share
from earlybird.errors import InputError
from earlybird.masks import Rule
from earlybird.vocabulary import Score, Stream

_TOKEN = re.compile(r"[^\s(),]+|[(),]")
_LONGEST = 500


@dataclass(frozen=True)
class Combination(DetectorFactory):
    """Several factories, and what makes one detector of theirs."""

    name: str
    members: tuple[DetectorFactory, ...]
    combine: Callable[[list[Detector]], Detector]
    needed: float | None = None  # None: the only member's own

    @property
    def summary(self) -> str:
        """What the members do."""
        return " ".join(member.summary for member in self.members)

    @property
    def threshold(self) -> float | None:
        """The share of settled members that is reached or exceeded, or the only member's threshold."""
        return self.members[0].threshold if self.needed is None else self.needed

    @property
    def score(self) -> Score:
        """The members', or the coefficient where one of them is made for that."""
        scores = {member.score for member in self.members}
        return "coefficient" if "coefficient" in scores else DEFAULT_SCORE

    @property
    def of_all_kinds(self) -> bool:
        """Whether all members may."""
        return all(member.of_all_kinds for member in self.members)

    @property
    def settled_below(self) -> bool:
        """As the only member says; a share has to be large."""
        return self.needed is None and self.members[0].settled_below

    def member(
        self, kind: Stream, rule: Rule, score: Score, total_steps: int, steps_per_epoch: float | None
    ) -> Detector:
        """Build the members, then their combination."""
        built = [member.member(kind, rule, score, total_steps, steps_per_epoch) for member in self.members]
        return self.combine(built)

    def spans(self, kind: Stream, total_steps: int, steps_per_epoch: float | None) -> dict[str, int]:
        """The longest of the members'."""
        longest: dict[str, int] = {}
        for member in self.members:
            for name, steps in member.spans(kind, total_steps, steps_per_epoch).items():
                longest[name] = max(steps, longest.get(name, 0))
        return longest


def detector_factory(config: DetectorConfig) -> DetectorFactory:
    """What a config decides by: an object of the user's own, or a name or an expression with the config's settings.

    Settings go to every member of an expression that has them; a threshold only where there is one member.

    Raises:
        InputError: an unknown name, with the nearest one; text that cannot be read; a setting that no member has.
    """
    if config.detector is not None and not isinstance(config.detector, str):
        return OwnDetector(config.detector)
    text = DEFAULT_DETECTORS[config.score or DEFAULT_SCORE] if config.detector is None else config.detector
    factory = _Reader(text).read()
    if isinstance(factory, NamedDetector):
        return replace(factory, chosen=config)
    leaves = _leaves(factory)
    for name in given_settings(config):
        if not any(leaf.specification.has(name, config.criterion) for leaf in leaves):
            raise InputError(f"none of the detectors in {text} has a setting {name!r}; leave it out")
    if config.threshold is not None and len(leaves) > 1:
        raise InputError(f"threshold cannot be set for {text}: its detectors compare different things")
    # The detector's own: a class that has more settings may ask for its detector while it is being made.
    own = DetectorConfig(**{each.name: getattr(config, each.name) for each in fields(DetectorConfig)})
    return _with_settings(factory, own)


def _leaves(factory: DetectorFactory) -> list[NamedDetector]:
    if isinstance(factory, Combination):
        return [leaf for member in factory.members for leaf in _leaves(member)]
    return [factory] if isinstance(factory, NamedDetector) else []


def _with_settings(factory: DetectorFactory, config: DetectorConfig) -> DetectorFactory:
    if isinstance(factory, Combination):
        return replace(factory, members=tuple(_with_settings(member, config) for member in factory.members))
    if isinstance(factory, NamedDetector):
        return replace(factory, chosen=restricted(config, factory.specification))
    return factory


class _Reader:
    """Reads a text from left to right."""

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise InputError(f"a detector is written in at most {_LONGEST} characters, got {len(text)}")
        self._text = text
        self._tokens: list[str] = _TOKEN.findall(text)

    def read(self) -> DetectorFactory:
        factory = self._factory()
        if self._tokens:
            raise self._unreadable()
        return factory

    def _factory(self) -> DetectorFactory:
        name = self._next()
        if self._tokens[:1] != ["("]:
            return NamedDetector(name, detector_named(name))
        self._next()
        if name == "repeat":
            member = self._factory()
            self._expect(",")
            times = self._next()
            if not times.isdecimal():
                raise self._unreadable()
            factory: DetectorFactory = _repeated(member, int(times))
        elif name == "stationary-share":
            factory = _share(self._next())
        elif name in ("all", "any"):
            members = [self._factory()]
            while self._tokens[:1] == [","]:
                self._next()
                members.append(self._factory())
            factory = _combined(name, members)
        else:
            raise self._unreadable()
        self._expect(")")
        return factory

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


def _repeated(member: DetectorFactory, times: int) -> DetectorFactory:
    if times < 2:
        raise InputError(f"repeat needs at least 2 checks in a row, got {times}")
    return Combination(f"repeat({member.name}, {times})", (member,), lambda built: Repeated(built[0], times))


def _combined(name: str, members: list[DetectorFactory]) -> DetectorFactory:
    if len(members) < 2:
        raise InputError(f"{name} needs at least 2 detectors, got {len(members)}")
    written = f"{name}({', '.join(member.name for member in members)})"
    if name == "all":
        return Combination(written, tuple(members), AllOf, needed=1.0)
    return Combination(written, tuple(members), AnyOf, needed=1 / len(members))


def _share(name: str) -> DetectorFactory:
    test = detector_named(name).test
    if test is None:
        raise InputError(f"stationary-share needs a test on windows, such as ols or adf; {name} is none")
    return NamedDetector(f"stationary-share({name})", stationary_share(test, name))
