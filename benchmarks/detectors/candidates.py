"""Which detectors are compared, and among which settings the default is chosen."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from candidate import Candidate, Member

from earlybird.detectors.presets import DETECTORS

# Every detector by its name, with its default settings; what draws at a fixed time is compared at several. Nothing is
# decided by random-start, and recent-half-capture is younger than the recordings: planned_lengths.py compares it.
_NAMES = tuple(name for name in DETECTORS if name not in ("fixed-time", "random-start", "recent-half-capture"))
COMPARED = tuple(Candidate((Member(name),)) for name in _NAMES)

_STARTS = ("2%", "4%", "6%", "10%")

_HALVES = tuple(
    Member(rule, start=start) for rule, start in product(("half-time-capture", "split-half-capture"), _STARTS)
)
_LAGGED = (
    *(Member("lagged-overlap", start="4%", lag=lag, every="1%") for lag in ("2%", "5%", "10%")),
    *(Member("rank-correlation", start="4%", lag=lag, every="1%") for lag in ("5%", "10%")),
)
_DISTANCES = tuple(Member("hamming", every=every) for every in ("1%", "2%", "5%"))
_EQUIVALENCES = tuple(
    Member(test, start=start, window=window, threshold=threshold)
    for test, start, window, threshold in product(
        ("equivalence", "level-equivalence"), ("5%", "10%"), ("8.3%", "15%"), (0.005, 0.01, 0.02, 0.04)
    )
)

# What looks at masks or scores: its statistics are kept with a record.
READ = (*(Member(name) for name in _NAMES if Member(name).is_read), *_HALVES, *_LAGGED, *_DISTANCES)


def _at(members: tuple[Member, ...], thresholds: tuple[float, ...]) -> tuple[Member, ...]:
    return tuple(replace(member, threshold=threshold) for member, threshold in product(members, thresholds))


_RULES = (
    *_at(_HALVES, (0.70, 0.80, 0.85, 0.90, 0.93, 0.95, 0.97, 0.98, 0.99)),
    *_at(_LAGGED, (0.80, 0.85, 0.90, 0.95, 0.98)),
    *_at(_DISTANCES, (0.01, 0.02, 0.05, 0.1)),
)

_FROM_EARLY_ON = tuple(
    member
    for member in _RULES
    if member.detector in ("half-time-capture", "split-half-capture") and member.start == "2%"
)
_BESIDE = (
    *(Member("equivalence", start="5%", threshold=threshold) for threshold in (0.02, 0.04)),
    *(Member("lagged-overlap", start="4%", lag="5%", every="1%", threshold=threshold) for threshold in (0.85, 0.90)),
)

# Among these the default is chosen: alone, twice in a row, and a rule on halves beside another that holds still.
CHOICES = (
    *(Candidate((member,)) for member in (*_RULES, *_EQUIVALENCES)),
    *(Candidate((member,), repeats=2) for member in _RULES),
    *(Candidate(members) for members in product(_FROM_EARLY_ON, _BESIDE)),
)
