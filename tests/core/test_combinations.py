"""Detectors put together: their rules, how they are written, where settings go."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earlybird import DetectorConfig, SearchConfig
from earlybird.detectors.base import Detector, Observation
from earlybird.detectors.combinations import AllOf, AnyOf, Repeated
from earlybird.detectors.criterion import NUCLEAR_NORM, Criterion
from earlybird.detectors.expression import detector_factory
from earlybird.detectors.offline import detect
from earlybird.detectors.stationary_share import StationaryShare
from earlybird.errors import InputError
from earlybird.masks.rule import MaskRule
from earlybird.stationarity.adf import AugmentedDickeyFuller
from earlybird.trajectory import Trajectory

MASK = np.ones((1, 1), dtype=bool)


class Scripted(Detector):
    """Says at its checks, one each step from `first_check` on, what it is told to; None: no check at that step."""

    def __init__(self, says, first_check=1, criteria=()):
        super().__init__(earliest=first_check, criteria=criteria)
        self.says = says

    def is_due(self, observation):
        return self.says[observation.step] is not None

    def check(self, observation):
        return float(observation.observed), self.says[observation.step]


def told(detector, steps, silent=()):
    seen = []
    for step in range(steps):
        detector.update(Observation(step, np.zeros((1, 1)), MASK, {}, step not in silent))
        seen.append((detector.checked, detector.settled))
    return seen


SAYS = st.lists(st.sampled_from([True, False, None]), min_size=12, max_size=12)


@given(SAYS, SAYS, st.integers(1, 6), st.integers(1, 6))
def test_all_and_any_go_by_the_newest_checks(one, other, first, second):
    scripts = [None] * (first - 1) + one[first - 1 :], [None] * (second - 1) + other[second - 1 :]
    for combination, together, earliest in ((AllOf, all, max), (AnyOf, any, min)):
        seen = told(combination([Scripted(scripts[0], first), Scripted(scripts[1], second)]), 12)
        verdict = False
        for step in range(12):
            newest = [next((said for said in script[step::-1] if said is not None), False) for script in scripts]
            checked = step + 1 >= earliest(first, second) and any(script[step] is not None for script in scripts)
            verdict = together(newest) if checked else verdict
            assert seen[step] == (checked, verdict)


def test_no_combination_settles_at_a_step_without_evidence():
    for combination in (AllOf, AnyOf):
        seen = told(combination([Scripted([True, None, None]), Scripted([True, True, True])]), 3, silent=(1,))
        assert [settled for _, settled in seen] == [True, False, True]


def test_the_statistic_of_a_combination_is_the_share_that_is_settled():
    detector = AllOf([Scripted([True]), Scripted([False]), Scripted([True]), Scripted([True])])
    told(detector, 1)
    assert (detector.statistic, detector.settled) == (0.75, False)


def test_repeated_counts_checks_in_a_row():
    script = [True, None, True, False, True, True, None, True, False]
    detector = Repeated(Scripted(script), 2)
    seen = told(detector, 9)
    assert [settled for checked, settled in seen if checked] == [False, True, False, False, True, True, False]
    assert detector.statistic == 9


def test_combinations_read_what_their_members_read_once():
    captured = Criterion("captured", 5)
    detector = AllOf([Scripted([], criteria=(NUCLEAR_NORM,)), Scripted([], criteria=(captured, NUCLEAR_NORM))])
    assert detector.criteria == (NUCLEAR_NORM, captured)


def factory(text, **chosen):
    return detector_factory(DetectorConfig(detector=text, **chosen))


def built(text, **chosen):
    return factory(text, **chosen).build("heads", MaskRule(0.5, "layer", (4, 4)), "coefficient", 1000, None)


def test_expressions_are_read_whatever_the_spaces():
    choice = factory(" all( ols ,repeat(any(adf,hamming) ,3))")
    assert choice.name == "all(ols, repeat(any(adf, hamming), 3))"
    assert choice.summary
    detector = built(choice.name)
    assert isinstance(detector, AllOf)
    assert isinstance(detector._members[1], Repeated)
    assert isinstance(detector._members[1]._member, AnyOf)
    assert detector.first_check == 100


def test_a_share_is_by_the_test_that_is_named():
    detector = built("stationary-share(adf)", window=40)
    assert isinstance(detector, StationaryShare)
    assert isinstance(detector.test, AugmentedDickeyFuller)
    assert detector.test.threshold == 0.05
    assert detector.first_check == 100


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("all(ols, adf", "a detector is a name, all"),
        ("ols adf", "a detector is a name, all"),
        ("all(ols))", "all needs at least 2 detectors, got 1"),
        ("all(ols, adf))", "got 'all\\(ols, adf\\)\\)'"),
        ("repeat(ols)", "repeat\\(A, times\\)"),
        ("repeat(ols, 1)", "at least 2 checks in a row, got 1"),
        ("repeat(ols, two)", "repeat\\(A, times\\)"),
        ("both(ols, adf)", "a detector is a name, all"),
        ("all(ols, adff)", "no detector 'adff'; did you mean 'adf'"),
        ("stationary-share(hamming)", "hamming is none"),
        ("", "a detector is a name"),
        ("()", "there is no detector '\\('"),
        ("all(" * 400, "at most 500 characters, got 1600"),
    ],
)
def test_what_cannot_be_read_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        factory(text)


@given(st.text("alrepetny(), 23-os", max_size=40))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(InputError):
        assert factory(text).name


def test_settings_go_to_the_members_that_have_them():
    detector = built("all(ols, lagged-overlap, half-time-capture)", window=40, smoothing=1, lag=20, start=100)
    ols, overlap, half = detector._members
    assert (ols.window, ols.first_check) == (40, 100)
    assert (overlap._lag, overlap.first_check) == (20, 100)
    assert half.first_check == 100
    assert built("repeat(equivalence, 2)", threshold=0.05)._member.test.threshold == 0.05
    assert factory("repeat(equivalence, 2)", threshold=0.05).threshold == 0.05
    assert factory("repeat(equivalence, 2)").settled_below


def test_settings_that_no_member_has_or_that_mean_different_things_are_refused():
    with pytest.raises(InputError, match=r"none of the detectors in .* has a setting 'lag'"):
        factory("all(ols, hamming)", lag=20)
    with pytest.raises(InputError, match="threshold cannot be set"):
        factory("all(ols, hamming)", threshold=0.1)


def test_a_combination_draws_when_its_last_member_does():
    random = np.random.default_rng(0)
    moves = random.normal(0, 0.3, (200, 2, 8)) * np.exp(-np.arange(200) / 20)[:, None, None]
    trajectory = Trajectory.from_arrays(heads=np.abs(1 + random.normal(0, 1, (2, 8)) + moves.cumsum(0)))
    arguments = {"heads": 0.5, "start": 20, "every": 5}
    steps = [
        detect(trajectory, SearchConfig(detector=name, **arguments)).step for name in ("equivalence", "lagged-overlap")
    ]
    both = detect(trajectory, SearchConfig(detector="all(equivalence, lagged-overlap)", **arguments))
    either = detect(trajectory, SearchConfig(detector="any(equivalence, lagged-overlap)", **arguments))
    assert steps[0] != steps[1]
    assert (both.step, either.step) == (max(steps), min(steps))
    assert both.statistic == both.kinds["heads"].threshold == 1
    assert both.detector == "all(equivalence, lagged-overlap)"
    assert detect(trajectory, SearchConfig(detector="repeat(equivalence, 3)", **arguments)).step >= steps[0] + 10
