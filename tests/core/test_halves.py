"""The rules on a run's halves, against their definitions written out."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earlybird.config import SearchConfig
from earlybird.criteria import captured
from earlybird.detectors.half_time_capture import HalfTimeCapture
from earlybird.detectors.halves import Halves
from earlybird.detectors.observer import Observer
from earlybird.detectors.offline import detect
from earlybird.detectors.recent_half_capture import RecentHalfCapture
from earlybird.detectors.scores import Scores
from earlybird.detectors.split_half_capture import SplitHalfCapture
from earlybird.masks.at_ratio import mask_at_ratio
from earlybird.masks.rule import MaskRule
from earlybird.trajectory import Trajectory

PRUNING = MaskRule(0.5, "global", (6, 6))


def checks_of(detector, scores):
    found = {}
    for observation in Observer("heads", PRUNING).observations(Scores(scores)):
        detector.update(observation)
        if detector.checked:
            found[observation.step + 1] = (detector.statistic, detector.settled)
    return found


@pytest.mark.parametrize(("start", "total"), [(2, 3), (2, 50), (20, 1000), (295, 14_774)])
def test_checks_grow_by_a_tenth_and_few_halves_are_held(start, total):
    halves, checks, most = Halves(start, total), [], 0
    for observation in Observer("heads", MaskRule(0.0, "layer", (1,))).observations(Scores(np.ones((total, 1, 1)))):
        half = halves.update(observation)
        most = max(most, len(halves._held))
        if half is not None:
            assert half.observed == (observation.step + 1) // 2
            checks.append(observation.step + 1)
    assert checks[0] == halves.first_check == start
    assert total / 1.1 - 1 <= checks[-1] <= total
    assert all(later <= 1.1 * earlier + 1 for earlier, later in itertools.pairwise(checks))
    assert most <= 9


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(10, 60))
def test_half_time_capture_is_its_definition(seed, steps):
    scores = np.abs(1 + np.random.default_rng(seed).normal(0, 0.1, (steps, 2, 6)).cumsum(0))
    found = checks_of(HalfTimeCapture(PRUNING, threshold=0.9, start=5, total_steps=steps), scores)
    assert found
    for n, (statistic, settled) in found.items():
        expected = captured(mask_at_ratio(scores[n // 2 - 1], 0.5, "global"), scores[n - 1], 0.5, "global")
        assert statistic == pytest.approx(float(expected))
        assert settled is (statistic >= 0.9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(10, 60))
def test_split_half_capture_of_gradients_is_its_definition(seed, steps):
    random = np.random.default_rng(seed)
    evidence = random.exponential(1, (steps, 2, 6)) * random.exponential(1, (2, 6))
    means = evidence.cumsum(0) / np.arange(1, steps + 1)[:, None, None]
    found = checks_of(SplitHalfCapture(PRUNING, "gradient", threshold=0.9, start=5, total_steps=steps), means)
    assert found
    for n, (statistic, settled) in found.items():
        first = mask_at_ratio(evidence[: n // 2].mean(0), 0.5, "global")
        expected = captured(first, evidence[n // 2 : n].mean(0), 0.5, "global")
        assert statistic == pytest.approx(float(expected), abs=1e-9)
        assert settled is (statistic >= 0.9)


def test_split_half_capture_of_coefficients_judges_by_what_they_moved_since():
    scores = np.abs(1 + np.random.default_rng(3).normal(0, 0.1, (40, 2, 6)).cumsum(0))
    found = checks_of(SplitHalfCapture(PRUNING, "coefficient", threshold=0.9, start=5, total_steps=40), scores)
    for n, (statistic, _) in found.items():
        first = mask_at_ratio(scores[n // 2 - 1], 0.5, "global")
        expected = captured(first, scores[n - 1] - scores[n // 2 - 1], 0.5, "global")
        assert statistic == pytest.approx(float(expected))


def test_an_order_that_stays_settles_at_the_first_check_and_one_that_turns_over_does_not():
    order = np.arange(12.0).reshape(1, 2, 6)
    stays = np.repeat(1 + order, 40, axis=0)
    turns = np.concatenate([stays[:20], 1 + 12 - stays[20:]])
    for rule, extra in ((HalfTimeCapture, ()), (SplitHalfCapture, ("gradient",))):
        assert checks_of(rule(PRUNING, *extra, threshold=0.95, start=10, total_steps=40), stays)[10] == (1.0, True)
    late = checks_of(HalfTimeCapture(PRUNING, threshold=0.95, start=21, total_steps=40), turns)
    assert not any(settled for _, settled in late.values())


def test_a_half_whose_mask_is_an_accident_of_position_is_no_evidence():
    scores = np.ones((40, 2, 6))
    scores[15:] += np.arange(12.0).reshape(2, 6)
    found = checks_of(HalfTimeCapture(PRUNING, threshold=0.1, start=5, total_steps=40), scores)
    assert not any(settled for n, (_, settled) in found.items() if n // 2 <= 15)
    assert all(settled for n, (_, settled) in found.items() if n // 2 > 15)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(20, 90), start=st.integers(4, 20))
def test_recent_half_capture_is_its_definition(seed, steps, start):
    random = np.random.default_rng(seed)
    evidence = random.exponential(1, (steps, 2, 6)) * random.exponential(1, (2, 6))
    means = evidence.cumsum(0) / np.arange(1, steps + 1)[:, None, None]
    detector, checks = RecentHalfCapture(PRUNING, "gradient", threshold=0.9, start=start), []
    for observation in Observer("heads", PRUNING).observations(Scores(means)):
        detector.update(observation)
        if not detector.checked:
            continue
        n = observation.step + 1
        checks.append(n)
        begin, middle = n // 2, n // 2 + (n - n // 2) // 2
        earlier, later = evidence[begin:middle].mean(0), evidence[middle:n].mean(0)
        expected = float(captured(mask_at_ratio(earlier, 0.5, "global"), later, 0.5, "global"))
        assert detector.statistic == pytest.approx(expected, abs=1e-9)
        assert detector.settled is (detector.statistic >= 0.9)
        chosen = detector.chosen(observation)
        np.testing.assert_allclose(chosen.scores, evidence[begin:n].mean(0))
        assert (chosen.mask == mask_at_ratio(evidence[begin:n].mean(0), 0.5, "global")).all()
    assert checks[0] == start
    assert all(later <= max(1.1 * earlier + 0.5, earlier + 1) for earlier, later in itertools.pairwise(checks))


def test_recent_half_capture_draws_at_the_same_step_of_a_longer_run_by_the_recent_half():
    random = np.random.default_rng(0)
    settled, misleading = random.exponential(1, (2, 6)), random.exponential(1, (2, 6))
    evidence = random.gamma(9, 1 / 9, (400, 2, 6)) * settled
    evidence[:10] = 50 * misleading  # forgotten at the first check, after 20 steps
    draws = [
        detect(
            Trajectory.from_arrays(heads=evidence, channel="gradient", total_steps=total),
            SearchConfig(heads=0.5, heads_scope="global", score="gradient", detector="recent-half-capture"),
        )
        for total in (400, 40_000)
    ]
    assert draws[0].step == draws[1].step < 100
    n = draws[0].step + 1
    assert (draws[0].masks["heads"] == mask_at_ratio(evidence[n // 2 : n].mean(0), 0.5, "global")).all()
    assert captured(draws[0].masks["heads"], settled, 0.5, "global") > 0.9


def test_recent_half_capture_holds_a_dozen_sums_whatever_the_run():
    detector, most = RecentHalfCapture(PRUNING, "gradient", threshold=0.9, start=20), 0
    for observation in Observer("heads", PRUNING).observations(Scores(np.ones((3000, 2, 6)))):
        detector.update(observation)
        most = max(most, len(pickle.dumps(detector)))
    assert most < len(pickle.dumps(RecentHalfCapture(PRUNING, "gradient", threshold=0.9, start=20))) + 15 * 12 * 8 * 2


def test_recent_half_capture_takes_no_ties_for_an_order():
    evidence = np.zeros((60, 2, 6))
    evidence[:5] = np.arange(12.0).reshape(2, 6)
    trajectory = Trajectory.from_arrays(heads=evidence, channel="gradient")
    config = {"heads": 0.5, "heads_scope": "global", "score": "gradient"}
    assert detect(trajectory, SearchConfig(**config, detector="recent-half-capture")) is None


@pytest.mark.parametrize("written", ["any({}, hamming)", "all({}, fixed-time)", "repeat({}, 2)"])
def test_a_combination_draws_by_what_its_member_chooses(written):
    random = np.random.default_rng(0)
    evidence = random.gamma(9, 1 / 9, (400, 2, 6)) * random.exponential(1, (2, 6))
    evidence[:10] = 1000 * random.exponential(1, (2, 6))
    config = {"heads": 0.5, "heads_scope": "global", "score": "gradient"}
    detector = written.format("recent-half-capture")
    if "any" in written:
        detector = detector.replace("hamming", "half-time-capture")
    recording = Trajectory.from_arrays(heads=evidence, channel="gradient")
    draw = detect(recording, SearchConfig(**config, detector=detector, start=20))
    assert (draw.masks["heads"] != mask_at_ratio(evidence[: draw.step + 1].mean(0), 0.5, "global")).any()
