"""Stationarity tests against the usual libraries, and where those raise, return NaN or lose digits."""

import math
import sys
import warnings

import numpy as np
import pymannkendall
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.diagnostic import breaks_cusumolsresid
from statsmodels.tsa.stattools import adfuller, kpss

from earlybird.errors import InputError
from earlybird.stationarity.adf import AugmentedDickeyFuller
from earlybird.stationarity.autoregression import AutoregressiveRoot
from earlybird.stationarity.base import StationarityTest
from earlybird.stationarity.bayesian_change_point import BayesianChangePoint
from earlybird.stationarity.cusum import CumulativeSum
from earlybird.stationarity.df_gls import DickeyFullerGLS
from earlybird.stationarity.equivalence import Equivalence
from earlybird.stationarity.hamed_rao import HamedRao
from earlybird.stationarity.kpss import KwiatkowskiPhillipsSchmidtShin
from earlybird.stationarity.least_squares import TimeTrend
from earlybird.stationarity.level_equivalence import LevelEquivalence
from earlybird.stationarity.mann_kendall import MannKendall
from earlybird.stationarity.markov_switching import MarkovSwitching
from earlybird.stationarity.ols import OrdinaryLeastSquares, RobustLeastSquares
from earlybird.stationarity.pelt import PrunedExactLinearTime
from earlybird.stationarity.phillips_perron import PhillipsPerron
from earlybird.stationarity.pre_whitening import PreWhitened
from earlybird.stationarity.window_change_point import SlidingWindow
from earlybird.stationarity.yue_wang import YueWang

TREND_TESTS = [OrdinaryLeastSquares, RobustLeastSquares, MannKendall]
P_VALUES = [*TREND_TESTS, AugmentedDickeyFuller]
UNIT_ROOTS = [AugmentedDickeyFuller, AutoregressiveRoot, DickeyFullerGLS, PhillipsPerron]
MARGINS = [Equivalence, LevelEquivalence]
OTHERS = [
    *[HamedRao, YueWang, PreWhitened, KwiatkowskiPhillipsSchmidtShin, CumulativeSum, PrunedExactLinearTime],
    *[SlidingWindow, BayesianChangePoint, MarkovSwitching],
]
ALL = [*TREND_TESTS, *UNIT_ROOTS, *MARGINS, *OTHERS]
CHEAP = [test for test in ALL if test not in (MarkovSwitching, PhillipsPerron, DickeyFullerGLS, AugmentedDickeyFuller)]


def windows(count, lengths=(20, 50, 108, 300)):
    """Windows of every sort, (name, values), all around the size of a nuclear norm; none is constant."""
    random = np.random.default_rng(0)
    for i in range(count):
        n = lengths[i // 7 % len(lengths)]
        time = np.arange(n)
        noise = random.normal(size=n)
        level, scale = random.uniform(20, 200), 10 ** random.uniform(-3, 1)
        shape = {
            "noise": noise,
            "trend": noise + random.normal(0, 0.05) * time,
            "walk": np.cumsum(noise),
            "two levels": (time >= random.integers(1, n)) + 0.0,
            "a few levels": np.floor(noise),
            "near-constant": (time == random.integers(0, n)) + 0.0,
            "returning": np.convolve(random.normal(size=n + 9), 0.7 ** np.arange(10), "valid"),
        }
        name = list(shape)[i % 7]
        window = level + scale * shape[name]
        if window.min() < window.max():
            yield f"{i}: {name}, n = {n}", window


def fitted(window, **covariance):
    """Reference regression; shifted by a value of its own, which changes no slope but spares digits."""
    time = np.arange(len(window)) - (len(window) - 1) / 2
    return sm.OLS(window - window[0], sm.add_constant(time)).fit(**covariance)


def newey_west(window):
    return fitted(window, cov_type="HAC", cov_kwds={"maxlags": math.isqrt(len(window))})


def dickey_fuller(window, **lags):
    return adfuller(window, regression="c", result_object=True, **lags).pvalue


# What each p-value must equal, on how many windows: 10,000 in all, fewer where a reference takes milliseconds.
AGREEMENT = {
    OrdinaryLeastSquares: (lambda window: fitted(window).pvalues[1], 2400),
    RobustLeastSquares: (lambda window: newey_west(window).pvalues[1], 2400),
    CumulativeSum: (lambda window: breaks_cusumolsresid(window - window.mean())[1], 1600),
    KwiatkowskiPhillipsSchmidtShin: (lambda window: kpss(window, nlags="auto", result_object=True).pvalue, 1600),
    MannKendall: (lambda window: pymannkendall.original_test(window).p, 800),
    HamedRao: (lambda window: pymannkendall.hamed_rao_modification_test(window).p, 400),
    YueWang: (lambda window: pymannkendall.yue_wang_modification_test(window).p, 400),
    PreWhitened: (lambda window: pymannkendall.pre_whitening_modification_test(window).p, 400),
    AugmentedDickeyFuller: (lambda window: dickey_fuller(window, autolag="AIC"), 140),
}


def test_agreement_is_tried_on_ten_thousand_windows():
    assert sum(count for _, count in AGREEMENT.values()) >= 10_000


@pytest.mark.parametrize("test", AGREEMENT)
def test_p_values_equal_those_of_the_usual_libraries(test):
    reference, count = AGREEMENT[test]
    for name, window in windows(count, lengths=(20, 33, 50, 108)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = reference(window)
        assert test().statistic(window) == pytest.approx(expected, abs=1e-8, nan_ok=True), name


@pytest.mark.parametrize("test", [*TREND_TESTS, CumulativeSum, KwiatkowskiPhillipsSchmidtShin])
def test_p_values_of_long_windows_equal_those_of_the_usual_libraries(test):
    reference, _ = AGREEMENT[test]
    for name, window in windows(35, lengths=(300,)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = reference(window)
        assert test().statistic(window) == pytest.approx(expected, abs=1e-8), name


def test_slopes_and_their_errors_equal_statsmodels():
    for name, window in windows(200):
        reference = fitted(window)
        trend = TimeTrend.fit(window)
        assert trend.slope == pytest.approx(reference.params[1], rel=1e-8, abs=1e-12), name
        assert trend.classic_error() == pytest.approx(reference.bse[1], rel=1e-8), name


def test_autoregressive_root_is_dickey_fuller_without_lags_where_its_residuals_are_uncorrelated():
    passed = 0
    for name, window in windows(420, lengths=(20, 50)):
        if "level" in name or "constant" in name:
            continue  # regressions without residuals: what is left is rounding
        statistic = AutoregressiveRoot().statistic(window)
        fit = sm.OLS(window[1:], sm.add_constant(window[:-1])).fit()
        if 1.5 <= sm.stats.durbin_watson(fit.resid) <= 2.5:
            assert statistic == pytest.approx(dickey_fuller(window, maxlag=0, autolag=None), abs=1e-8), name
            passed += 1
        else:
            assert statistic == 1, name
    assert passed > 0


@pytest.mark.parametrize("lags", [0, 1, 5, 19, 40])
def test_newey_west_error_equals_statsmodels_for_any_lags(lags):
    for name, window in windows(14, lengths=(20, 21)):
        reference = fitted(window, cov_type="HAC", cov_kwds={"maxlags": min(lags, len(window) - 1)})
        if lags < len(window):
            expected = pytest.approx(reference.bse[1], rel=1e-8)
            assert TimeTrend.fit(window).newey_west_error(lags) == expected, name
        else:
            assert math.isfinite(TimeTrend.fit(window).newey_west_error(lags)), name


def test_equivalence_bound_equals_one_by_statsmodels():
    for name, window in windows(300):
        reference = newey_west(window)
        bound = (abs(reference.params[1]) + 1.645 * reference.bse[1]) * len(window) / abs(window.mean())
        assert Equivalence().statistic(window) == pytest.approx(bound, rel=1e-8), name


def test_level_equivalence_bound_equals_one_by_statsmodels():
    for name, window in windows(300):
        later = (np.arange(len(window)) >= len(window) // 2).astype(float)
        hac = {"cov_type": "HAC", "cov_kwds": {"maxlags": math.isqrt(len(window))}}
        with np.errstate(invalid="ignore"):  # of the level's own error
            reference = sm.OLS(window - window[0], sm.add_constant(later)).fit(**hac)
            bound = (abs(reference.params[1]) + 1.645 * reference.bse[1]) / abs(window.mean())
        assert LevelEquivalence().statistic(window) == pytest.approx(bound, rel=1e-7, abs=1e-12), name


def test_equivalence_is_the_rule_of_the_design():
    flat = 100 + np.random.default_rng(1).normal(0, 0.1, 100)
    drifting = flat + np.linspace(0, 3, 100)
    assert Equivalence().judge(flat)[1]
    assert not Equivalence().judge(drifting)[1]
    # A bound of 3% and a little: settled for a margin of 4%.
    assert 0.03 < Equivalence().statistic(drifting) < 0.04
    assert Equivalence(0.04).judge(drifting)[1]
    # A series that is merely noisy gives no evidence of rest, where the trend tests take it for rest.
    noisy = 100 + np.random.default_rng(2).normal(0, 20, 100)
    assert OrdinaryLeastSquares().judge(noisy)[1]
    assert not Equivalence().judge(noisy)[1]


@pytest.mark.parametrize("test", MARGINS)
def test_equivalence_without_a_level_is_never_settled(test):
    window = np.array([-1.0, 1.0] * 10)
    assert test().judge(window) == (math.inf, False)


@pytest.mark.parametrize("test", ALL)
@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, 137.42, 1e-300, 1e300])
@pytest.mark.parametrize("n", [4, 20, 300])
def test_a_constant_window_is_settled_for_every_test(test, value, n):
    assert test().judge(np.full(n, value)) == (None, True)


@pytest.mark.parametrize("test", ALL)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [slice(0, 1), slice(10, 11), slice(-1, None), slice(None)])
@pytest.mark.parametrize("level", [0.0, 100.0])
def test_a_window_that_is_not_finite_is_never_settled(test, value, place, level):
    window = np.full(20, level)
    window[place] = value
    assert test().judge(window) == (None, False)


@pytest.mark.parametrize("statistic", [math.nan, math.inf, -math.inf])
def test_a_statistic_that_is_not_finite_never_settles(statistic):
    class Anything(StationarityTest):
        null = ""
        default_threshold = 0.5

        def statistic(self, window):
            return statistic

        def passes(self, statistic):
            return True

    assert not Anything().judge(np.arange(5.0))[1]


@pytest.mark.parametrize(
    ("test", "threshold"),
    [
        (OrdinaryLeastSquares, 0.20),
        (RobustLeastSquares, 0.20),
        (MannKendall, 0.20),
        (AugmentedDickeyFuller, 0.05),
        (Equivalence, 0.02),
        (LevelEquivalence, 0.02),
        (HamedRao, 0.20),
        (YueWang, 0.20),
        (PreWhitened, 0.20),
        (KwiatkowskiPhillipsSchmidtShin, 0.05),
        (PhillipsPerron, 0.05),
        (DickeyFullerGLS, 0.05),
        (AutoregressiveRoot, 0.05),
        (CumulativeSum, 0.20),
        (PrunedExactLinearTime, 0.75),
        (SlidingWindow, 0.75),
        (BayesianChangePoint, 0.5),
        (MarkovSwitching, 0.9),
    ],
)
def test_thresholds_and_their_side(test, threshold):
    assert test().threshold == threshold
    assert test(0.1).threshold == 0.1
    settles_above = test not in (*UNIT_ROOTS, *MARGINS)
    assert test.settled_below is not settles_above
    assert test().passes(threshold + 1e-6) is settles_above
    assert test().passes(threshold - 1e-6) is not settles_above
    assert not test().passes(threshold)


@settings(max_examples=150)
@given(st.integers(20, 120), st.floats(-1e9, 1e9), st.floats(-12, 6), st.sampled_from([1, -1]))
def test_a_perfect_ramp_is_never_settled(n, offset, power, sign):
    """Rounding makes a ramp constant where it lies far below the offset's last digit, a staircase where near.

    Constant is settled by rule. Of a staircase the robust errors may not be sure: a single step near one end
    of a long window has a robust p-value of 0.29, as a norm that moved once has.
    """
    window = offset + sign * 10**power * np.arange(n)
    strictly = len(np.unique(window)) == n
    for test in [*CHEAP, AugmentedDickeyFuller]:
        statistic, settled = test().judge(window)
        if window.min() == window.max():
            assert (statistic, settled) == (None, True)
        elif strictly or test in (OrdinaryLeastSquares, MannKendall, AugmentedDickeyFuller):
            assert not settled, (test, statistic)
        if strictly and test in TREND_TESTS:
            assert statistic < 1e-6, test


@pytest.mark.parametrize("test", ALL)
@pytest.mark.parametrize("n", [5, 20, 108])
@pytest.mark.parametrize("slope", [1.0, -0.3, 1e-6, -1e-13, 1e4])
@pytest.mark.parametrize("offset", [0.0, 137.42, -1e6])
def test_ramps_are_never_settled_for_any_test(test, n, slope, offset):
    window = offset + slope * np.arange(n)
    if len(np.unique(window)) > 2:
        assert not test().judge(window)[1]


@pytest.mark.parametrize("test", ALL)
@pytest.mark.parametrize("n", [20, 108])
@pytest.mark.parametrize("offset", [0.0, 1.0, -137.42, 1e9])
def test_ramps_of_a_few_last_digits_are_never_settled(test, n, offset):
    last_digit = np.spacing(abs(offset))
    for slope in (1, 3, -1):
        statistic, settled = test().judge(offset + slope * last_digit * np.arange(n))
        assert not settled, statistic


@given(st.integers(1, 19), st.sampled_from([0.0, 1.0, 137.42, 1e6]), st.integers(1, 4))
def test_a_jump_of_last_digits_counts_as_any_jump(place, level, digits):
    """What the trend tests say must not depend on how far the level lies above the variation."""
    shape = np.repeat([0.0, 1.0], [place, 20 - place])
    tiny = level + digits * np.spacing(level) * shape
    if level == 0:
        tiny = digits * shape
    for test in TREND_TESTS:
        assert test().statistic(tiny) == pytest.approx(test().statistic(shape), abs=1e-6)


@pytest.mark.parametrize("test", [*TREND_TESTS, Equivalence])
def test_statistics_are_symmetric_in_time(test):
    for name, window in windows(56):
        forwards, backwards = test().statistic(window), test().statistic(window[::-1])
        assert backwards == pytest.approx(forwards, rel=1e-8, abs=1e-12), name


@pytest.mark.parametrize("test", TREND_TESTS)
@given(st.lists(st.integers(-3, 3), min_size=5, max_size=30), st.integers(-1000, 1000), st.integers(-8, 8))
def test_trend_tests_do_not_depend_on_unit_or_origin(test, levels, shift, power):
    window = np.array(levels, dtype=np.float64)
    if window.min() == window.max():
        return
    expected = pytest.approx(test().statistic(window), abs=1e-9)
    assert test().statistic(window + shift) == expected
    assert test().statistic(window * 2.0**power) == expected
    assert test().statistic(-window) == expected


def test_dickey_fuller_does_not_depend_on_unit_or_origin():
    for name, window in windows(14, lengths=(50,)):
        if "level" in name or "constant" in name:
            continue  # regressions without residuals: what is left is rounding
        expected = AugmentedDickeyFuller().statistic(window)
        for same in (window + 1000, window - window.mean(), 8 * window, -window):
            assert AugmentedDickeyFuller().statistic(same) == pytest.approx(expected, abs=1e-6), name


def test_equivalence_does_not_depend_on_the_unit_but_on_the_level():
    for name, window in windows(14):
        bound = Equivalence().statistic(window)
        assert Equivalence().statistic(3 * window) == pytest.approx(bound, rel=1e-9), name
        assert Equivalence().statistic(-window) == pytest.approx(bound, rel=1e-9), name
        assert Equivalence().statistic(window + 1000) < bound, name


@given(st.lists(st.integers(-3, 3), min_size=5, max_size=30))
def test_mann_kendall_sees_order_alone(levels):
    window = np.array(levels, dtype=np.float64)
    if window.min() == window.max():
        return
    assert MannKendall().statistic(np.exp(window)) == MannKendall().statistic(window)


@pytest.mark.parametrize("n", [4, 5, 6, 8, 12])
@pytest.mark.parametrize("test", ALL)
def test_the_shortest_windows_are_judged_without_an_exception(test, n):
    for window in (np.arange(float(n)), np.arange(n) % 2.0, np.random.default_rng(n).normal(size=n)):
        statistic, settled = test().judge(window)
        assert statistic is not None
        assert settled in (True, False)


def test_no_warning_reaches_the_user():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _, window in windows(70, lengths=(20,)):
            for test in ALL:
                if test is not MarkovSwitching:
                    test().judge(window)
        for _, window in windows(7, lengths=(20,)):
            MarkovSwitching().judge(window)


# Rules of tests that have no reference


@pytest.mark.parametrize("test", [PrunedExactLinearTime, SlidingWindow])
@pytest.mark.parametrize("place", [15, 40, 85])
def test_change_points_are_found_where_they_are(test, place):
    window = np.random.default_rng(place).normal(100, 0.1, 100)
    window[place:] += 1
    statistic, settled = test().judge(window)
    assert statistic == pytest.approx(1 - place / 100, abs=0.011)
    assert settled is (place == 15)


@pytest.mark.parametrize("test", [PrunedExactLinearTime, SlidingWindow])
def test_change_points_are_rarely_found_in_noise(test):
    random = np.random.default_rng(5)
    settled = [test().judge(random.normal(100, 0.1, 100))[1] for _ in range(40)]
    assert np.mean(settled) > 0.8


def test_the_probability_of_no_change_is_that_of_bayes_rule_written_out():
    """Marginal likelihoods by integrating over the change and, on a grid, over the noise's variance."""
    window = np.array([1.0, 1.4, 0.8, 1.1, 2.0, 1.9, 2.4])
    n = len(window)
    centred = window - window.mean()
    variances = np.geomspace(1e-4, 1e3, 20_001)

    def evidence(step):
        """Flat level, change ~ N(0, n variance / sum of squares of the centred step), p(variance) ~ 1/variance."""
        square = float(centred @ centred)
        shrunk = 0.0
        if step is not None:
            z = step - step.mean()
            square -= n / (1 + n) * float(z @ centred) ** 2 / float(z @ z)
            shrunk = -0.5 * np.log(1 + n)
        logs = -(n - 1) / 2 * np.log(variances) - square / (2 * variances) + shrunk
        return np.trapezoid(np.exp(logs), np.log(variances))

    changes = [evidence((np.arange(n) >= place).astype(float)) for place in range(2, n - 1)]
    expected = evidence(None) / (evidence(None) + np.mean(changes))
    assert BayesianChangePoint().statistic(window) == pytest.approx(expected, rel=1e-4)


def test_a_change_makes_none_improbable_and_noise_does_not():
    random = np.random.default_rng(7)
    assert np.mean([BayesianChangePoint().judge(random.normal(9, 1, 100))[1] for _ in range(100)]) > 0.9
    for place in (5, 50, 95):
        window = random.normal(9, 1, 100)
        window[place:] += 4
        assert BayesianChangePoint().statistic(window) < 0.01


def test_markov_switching_tells_rest_from_movement():
    random = np.random.default_rng(0)
    rest, moves = random.normal(0, 0.01, 68), random.normal(1, 0.5, 40)
    assert MarkovSwitching().judge(100 + np.cumsum(np.concatenate([moves, rest])))[1]
    assert not MarkovSwitching().judge(100 + np.cumsum(np.concatenate([rest, moves])))[1]
    assert not MarkovSwitching().judge(100 + np.cumsum(random.normal(0, 0.5, 108)))[1]


@pytest.mark.parametrize("length", [24, 60, 108])
def test_transitions_without_a_steady_state_are_no_evidence(length):
    """Increments of a rounding error or none, on which statsmodels' optimizer leaves what a chain can be."""
    statistic, settled = MarkovSwitching().judge(55.5 + 1e-13 * np.arange(length))
    assert np.isnan(statistic)
    assert not settled


def test_unit_root_tests_settle_on_a_level_and_rarely_on_a_walk():
    random = np.random.default_rng(3)
    levels = [100 + random.normal(0, 1, 100) for _ in range(16)]
    walks = [100 + np.cumsum(random.normal(0, 1, 100)) for _ in range(16)]
    for test in UNIT_ROOTS:
        # Lags chosen from the data make the test reject more often than in the 5% that it claims.
        assert np.mean([test().judge(window)[1] for window in walks]) <= 0.25, test
        assert np.mean([test().judge(window)[1] for window in levels]) >= 0.75, test


@pytest.mark.parametrize(
    ("test", "package"),
    [
        (PhillipsPerron, "arch"),
        (DickeyFullerGLS, "arch"),
        (PrunedExactLinearTime, "ruptures"),
        (SlidingWindow, "ruptures"),
    ],
)
def test_a_package_that_is_missing_is_named_when_the_test_is_chosen(test, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{package}.*pip install 'earlybird\[statistics\]'"):
        test()
    assert CumulativeSum().judge(np.arange(9.0)) is not None
