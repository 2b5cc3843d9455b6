"""Rules on masks, scores and levels, against their definitions written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_t, spearmanr

from earlybird.criteria import overlap
from earlybird.detectors.base import Observation
from earlybird.detectors.criterion import NUCLEAR_NORM
from earlybird.detectors.fixed_time import FixedTime
from earlybird.detectors.lagged_overlap import LaggedOverlap
from earlybird.detectors.observer import Observer
from earlybird.detectors.online_change_point import OnlineChangePoint, RunLengths
from earlybird.detectors.rank_correlation import RankCorrelation
from earlybird.detectors.scores import Scores
from earlybird.detectors.stationary_share import StationaryShare
from earlybird.detectors.subnetwork_similarity import SubnetworkSimilarity
from earlybird.errors import InputError
from earlybird.masks.rule import MaskRule
from earlybird.stationarity.ols import OrdinaryLeastSquares

UNITS = (3, 6)


def scores_of(seed, steps, move=0.05):
    random = np.random.default_rng(seed)
    return np.abs(1 + random.normal(0, 0.3, (1, 2, 6)) + random.normal(0, move, (steps, 2, 6)).cumsum(0))


def checks_of(detector, scores, rule):
    found = {}
    for observation in Observer("heads", rule, detector.criteria).observations(Scores(scores)):
        detector.update(observation)
        if detector.checked:
            found[observation.step + 1] = (detector.statistic, detector.settled)
    return found


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 5), st.integers(0, 30))
def test_lagged_overlap_compares_masks_so_many_steps_apart(seed, lag, every, start):
    rule, scores = MaskRule(0.5, "layer", UNITS), scores_of(seed, 40)
    masks = rule.masks(scores)
    found = checks_of(LaggedOverlap(threshold=0.8, lag=lag, every=every, start=start), scores, rule)
    assert list(found) == [n for n in range(1, 41) if n % every == 0 and n > lag and n >= start]
    for n, (statistic, settled) in found.items():
        assert statistic == overlap(masks[n - 1], masks[n - 1 - lag])
        assert settled is (statistic >= 0.8)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["layer", "global"]), st.integers(1, 9), st.integers(1, 4))
def test_rank_correlation_equals_scipy(seed, scope, lag, every):
    rule, scores = MaskRule(0.5, scope, UNITS), np.round(scores_of(seed, 25), 2)
    found = checks_of(RankCorrelation(rule, threshold=0.9, lag=lag, every=every), scores, rule)
    assert found
    for n, (statistic, settled) in found.items():
        now, earlier = scores[n - 1], scores[n - 1 - lag]
        if scope == "layer":
            pairs = [(now[layer, :units], earlier[layer, :units]) for layer, units in enumerate(UNITS)]
        else:
            real = np.arange(6) < np.array(UNITS)[:, None]
            pairs = [(now[real], earlier[real])]
        assert statistic == pytest.approx(np.mean([spearmanr(*pair).statistic for pair in pairs]), nan_ok=True)
        assert not settled or statistic >= 0.9


@settings(max_examples=40)
@given(st.integers(1, 99), st.integers(1, 60), st.integers(0, 20))
def test_fixed_time_waits_for_its_share_of_the_run_and_for_scores_that_differ(percent, steps, equal):
    scores = scores_of(0, steps)
    scores[:equal] = 1.0
    found = checks_of(FixedTime(threshold=percent / 100, total_steps=steps), scores, MaskRule(0.5, "layer", UNITS))
    assert list(found) == [n for n in range(1, steps + 1) if 100 * n >= percent * steps]
    assert found == {n: (n / steps, n > equal) for n in found}


def test_scores_that_rank_nothing_settle_no_rank_correlation():
    rule = MaskRule(0.5, "layer", (6,))
    found = checks_of(RankCorrelation(rule, threshold=0.1, lag=2, every=1), np.ones((9, 1, 6)), rule)
    assert found
    assert all(np.isnan(statistic) and not settled for statistic, settled in found.values())


def test_no_comparison_settles_where_the_earlier_mask_says_nothing():
    scores = np.repeat(np.arange(6.0).reshape(1, 1, 6), 20, axis=0)
    scores[:8] = 1.0
    rule = MaskRule(0.5, "layer", (6,))
    found = checks_of(LaggedOverlap(threshold=0.9, lag=4, every=1), scores, rule)
    assert [n for n, (_, settled) in found.items() if settled] == list(range(13, 21))


def test_what_is_held_for_later_is_bounded():
    with pytest.raises(InputError, match="lag must be at most 64 times every, got 65 and 1"):
        LaggedOverlap(threshold=0.9, lag=65, every=1)
    detector = LaggedOverlap(threshold=0.9, lag=64, every=1)
    checks_of(detector, scores_of(0, 200), MaskRule(0.5, "layer", UNITS))
    assert len(detector._held) == 64


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(2, 4))
def test_subnetwork_similarity_is_the_mean_jaccard_index(seed, every, history):
    rule, scores = MaskRule(0.5, "global", UNITS), scores_of(seed, 40)
    found = checks_of(SubnetworkSimilarity(threshold=0.9, every=every, history=history), scores, rule)
    masks = rule.masks(scores)[every - 1 :: every]

    def jaccard(mask, other):
        kept, others = ({*np.flatnonzero(row)} for row in (mask, other))
        return len(kept & others) / len(kept | others)

    similarity = [
        np.mean([jaccard(*rows) for rows in zip(masks[i], masks[i - history + 1], strict=True)])
        for i in range(history - 1, len(masks))
    ]
    expected = [np.mean(similarity[i - history + 1 : i + 1]) for i in range(history - 1, len(similarity))]
    assert [statistic for statistic, _ in found.values()] == pytest.approx(expected)
    assert list(found) == [every * (2 * history - 1 + i) for i in range(len(expected))]


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(4, 20), st.integers(1, 4))
def test_stationary_share_counts_units_that_settle_by_themselves(seed, window, every):
    rule, scores = MaskRule(0.5, "layer", UNITS), scores_of(seed, 30)
    scores[:, 1, 2] = 1.0  # does not move: settled
    test = OrdinaryLeastSquares()
    found = checks_of(StationaryShare(test, rule, threshold=0.5, window=window, every=every), scores, rule)
    assert list(found) == [n for n in range(1, 31) if n % every == 0 and n >= window]
    for n, (statistic, settled) in found.items():
        seen = [scores[n - window : n, layer, unit] for layer, units in enumerate(UNITS) for unit in range(units)]
        assert statistic == np.mean([test.judge(series)[1] for series in seen])
        assert settled is (statistic >= 0.5)


def test_stationary_share_holds_little_whatever_the_window_and_the_model():
    rule = MaskRule(0.5, "global", (3072,) * 2)
    detector = StationaryShare(OrdinaryLeastSquares(), rule, threshold=0.5, window=200, every=100)
    scores = np.random.default_rng(0).random((300, 2, 3072))
    found = checks_of(detector, scores, rule)
    assert list(found) == [200, 300]
    held = np.stack(detector._points)
    assert held.shape == (50, 512)
    np.testing.assert_array_equal(held[-1][[0, -1]], [scores[-1, 0, 0], scores[-1, 1, -1]])
    assert 0.6 < found[300][0] < 0.95  # about 80% of noise has p > 0.20


def segment_evidence(values, level):
    """Marginal likelihood of one level's values: a multivariate t, from the normal-gamma prior."""
    n = len(values)
    if n == 0:
        return 1.0
    covariance = 1e-4 * (np.eye(n) + np.ones((n, n)) / 0.01)
    return multivariate_t(np.full(n, level), covariance, df=2.0).pdf(values)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7))
def test_run_lengths_equal_the_sum_over_all_segmentations(seed, n):
    random = np.random.default_rng(seed)
    values = 1 + np.cumsum(random.normal(0, 0.02, n) * (random.random(n) < 0.5)) + random.normal(0, 0.005, n)
    values[0] = 1.0
    hazard = 0.1
    runs = RunLengths(hazard)
    for value in values:
        runs.update(value)
    # After each value the level changes or not; the newest run holds what came since the last change.
    weights = np.zeros(n + 1)
    for changes in range(2**n):
        ends = [i + 1 for i in range(n) if changes >> i & 1]
        probability = hazard ** len(ends) * (1 - hazard) ** (n - len(ends))
        bounds = [0, *ends] + ([n] if n not in ends else [])
        for first, end in itertools.pairwise(bounds):
            probability *= segment_evidence(values[first:end], 1.0)
        weights[n - (ends[-1] if ends else 0)] += probability
    weights /= weights.sum()
    for length in range(n + 1):
        assert runs.probability_of_at_least(length) == pytest.approx(weights[length:].sum(), rel=1e-6, abs=1e-8)


def levels(values, window=30, total=200):
    detector = OnlineChangePoint(threshold=0.95, window=window, every=1, total_steps=total)
    mask = np.ones((1, 1), dtype=bool)
    settled = []
    for step, value in enumerate(values):
        detector.update(Observation(step, np.zeros((1, 1)), mask, {NUCLEAR_NORM: float(value)}, evidence=True))
        settled.append(detector.settled)
    return settled, detector


def test_a_level_settles_after_a_window_and_again_after_a_change():
    noise = np.random.default_rng(1).normal(0, 0.3, 200)
    values = 100 + noise
    values[100:] += 20
    settled, detector = levels(values)
    assert not any(settled[:29])
    assert settled[45]
    assert not any(settled[102:129])
    assert settled[150]
    assert len(detector._runs._lengths) < 200


def test_a_constant_level_settles_and_a_steep_ramp_never_does():
    assert levels(np.full(40, 7.0))[0] == [False] * 29 + [True] * 11
    assert not any(levels(100 + 5.0 * np.arange(200))[0])
    assert levels(np.zeros(40))[0][-1]


def test_values_that_are_not_there_yet_are_passed_over():
    settled, _ = levels([np.nan] * 10 + [5.0] * 30)
    assert settled == [False] * 39 + [True]
