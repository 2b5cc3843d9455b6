"""Detectors against plain references on the whole series, and online against offline."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earlybird import DetectorConfig, SearchConfig
from earlybird.criteria import captured_by
from earlybird.detectors import offline
from earlybird.detectors.base import Observation
from earlybird.detectors.criterion import NUCLEAR_NORM, has_lag
from earlybird.detectors.detection import Detection
from earlybird.detectors.expression import detector_factory
from earlybird.detectors.factory import NamedDetector
from earlybird.detectors.hamming import HammingDistance
from earlybird.detectors.offline import detect, draw_at, score_chunks
from earlybird.detectors.presets import DETECTORS, detector_named
from earlybird.detectors.rank_correlation import RankCorrelation
from earlybird.detectors.scores import RunningScore
from earlybird.detectors.window import WindowedTest
from earlybird.errors import InputError
from earlybird.masks.at_ratio import mask_at_ratio
from earlybird.masks.rule import MaskRule
from earlybird.spans import Span, parse_span
from earlybird.stationarity.base import StationarityTest
from earlybird.trajectory import Shape, Trajectory
from earlybird.vocabulary import CRITERIA

NAMES = list(DETECTORS)
HALVES = [name for name in NAMES if "half" in name]
TESTED = [name for name in NAMES if DETECTORS[name].test is not None]
# Each judgement takes tens of milliseconds or more.
COSTLY = ["adf", "df-gls", "markov-switching", "phillips-perron"]
EXPRESSIONS = [
    "all(equivalence, half-time-capture)",
    "any(ols, lagged-overlap)",
    "repeat(equivalence, 2)",
    "repeat(any(ols, all(cusum, hamming)), 2)",
    "stationary-share(ols)",
]
UNITS = {"heads": (4, 4, 4), "neurons": (6, 6)}


class Recorder(StationarityTest):
    """Keeps every window it sees and says what it is told to say."""

    null = ""
    default_threshold = 0.5

    def __init__(self, says=True):
        super().__init__()
        self.says = says
        self.windows = []

    def judge(self, window):
        self.windows.append(window.copy())
        return float(len(self.windows)), self.says

    def statistic(self, window):
        raise AssertionError

    passes = statistic


def observation(step, value=0.0, *, mask=None, evidence=True):
    mask = np.ones((1, 1), dtype=bool) if mask is None else mask
    return Observation(step, np.zeros(mask.shape), mask, {NUCLEAR_NORM: value}, evidence)


def ordered(steps, layers, units, seed=0):
    """Scores that are distinct and stay as they are."""
    scores = np.random.default_rng(seed).permutation(layers * units).reshape(layers, units) + 1.0
    return np.repeat(scores[None], steps, axis=0)


def turning(steps, layers, units):
    """Scores whose order is reversed from one step to the next."""
    scores = ordered(steps, layers, units)
    scores[1::2] = scores.max() + 1 - scores[1::2]
    return scores


def with_setting(name, **chosen):
    """Settings for a short run, those of them that the detector has."""
    short = {"lag": 3} if "lagged" in name or name == "rank-correlation" else {}
    if name == "markov-switching" and chosen["window"] > 4:
        short = {"window": 16, "every": 16}  # of shorter windows it judges constant ones alone
    if "stationary-share" in name:
        short = {"threshold": 0.3}  # else only what does not move at all
    if name in EXPRESSIONS:
        return {"window": chosen["window"], "every": chosen["every"], "start": 1} | short
    return {key: value for key, value in chosen.items() if DETECTORS[name].has(key)} | short


# Windows: schedule and smoothing


def reference_windows(series, smoothing, window, every, start, later_window):
    """(n, window) of every check, from the whole series at once."""
    smooth = np.array([series[max(0, i - smoothing + 1) : i + 1].mean() for i in range(len(series))])
    checks = []
    for n in range(1, len(series) + 1):
        if n % every == 0 and n >= smoothing + window - 1 and n >= start:
            length = min(window, later_window) if checks and later_window else window
            checks.append((n, smooth[n - length : n]))
    return checks


@settings(max_examples=100)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),
    st.integers(4, 15),
    st.integers(1, 9),
    st.integers(0, 30),
    st.none() | st.integers(4, 20),
)
def test_checks_and_windows_are_those_of_the_definition(seed, smoothing, window, every, start, later_window):
    series = np.random.default_rng(seed).normal(100, 5, 60)
    expected = reference_windows(series, smoothing, window, every, start, later_window)
    test = Recorder()
    detector = WindowedTest(
        test, smoothing=smoothing, window=window, every=every, start=start, later_window=later_window
    )
    checked = []
    for step, value in enumerate(series):
        detector.update(observation(step, value))
        if detector.checked:
            checked.append(step + 1)
    assert checked == [n for n, _ in expected]
    assert all(detector.first_check == n for n in checked[:1])
    assert len(test.windows) == len(expected)
    for seen, (_, values) in zip(test.windows, expected, strict=True):
        np.testing.assert_allclose(seen, values, rtol=1e-12, atol=1e-10)


def test_windows_after_the_first_may_be_shorter():
    test = Recorder(says=False)
    detector = WindowedTest(test, smoothing=1, window=8, every=2, later_window=5)
    for step in range(12):
        detector.update(observation(step, float(step)))
    assert [window.tolist() for window in test.windows] == [[*range(8)], [*range(5, 10)], [*range(7, 12)]]


@given(st.floats(-1e6, 1e6), st.integers(1, 30), st.integers(0, 5), st.floats(-1e6, 1e6))
def test_smoothing_of_a_constant_series_is_exactly_constant(value, smoothing, others, other):
    test = Recorder()
    detector = WindowedTest(test, smoothing=smoothing, window=6, every=1)
    series = [other] * others + [value] * (smoothing + 5)
    for step, element in enumerate(series):
        detector.update(observation(step, element))
    assert test.windows[-1].tolist() == [value] * 6


def test_statistic_and_verdict_stay_between_checks():
    detector = WindowedTest(Recorder(), smoothing=1, window=4, every=4)
    seen = []
    for step in range(9):
        detector.update(observation(step))
        seen.append((detector.checked, detector.settled, detector.statistic))
    assert seen == [(False, False, None)] * 3 + [
        (True, True, 1),
        *[(False, True, 1)] * 3,
        (True, True, 2),
        (False, True, 2),
    ]


@pytest.mark.parametrize(
    ("settings_given", "named"),
    [({"window": 3}, "window.*3"), ({"smoothing": 0}, "smoothing"), ({"every": 0}, "every")],
)
def test_windows_that_cannot_be_are_refused(settings_given, named):
    with pytest.raises(InputError, match=named):
        WindowedTest(Recorder(), **{"smoothing": 1, "window": 4, "every": 1, **settings_given})


# Evidence


def test_no_window_settles_at_a_step_without_evidence():
    detector = WindowedTest(Recorder(), smoothing=1, window=4, every=2)
    settled = []
    for step in range(8):
        detector.update(observation(step, evidence=step != 3))
        settled.append(detector.settled)
    assert settled == [False] * 5 + [True] * 3


def test_no_queue_settles_at_a_step_without_evidence():
    detector = HammingDistance(queue=3)
    settled = []
    for step in range(5):
        detector.update(observation(step, evidence=step != 2))
        settled.append(detector.settled)
    assert settled == [False, False, False, True, True]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_no_detector_draws_where_all_scores_tie(name, value):
    trajectory = Trajectory.from_arrays(heads=np.full((60, 3, 8), value), neurons=np.full((60, 2, 50), value))
    chosen = with_setting(name, smoothing=1, window=4, every=1)
    assert detect(trajectory, SearchConfig(heads=0.5, neurons=0.5, detector=name, **chosen)) is None


@pytest.mark.parametrize("name", [name for name in NAMES if DETECTORS[name].criterion or name == "hamming"])
def test_detectors_of_masks_alone_draw_when_the_ties_are_over(name):
    # Ordered as the first steps' ties are broken, by position: the masks never change, the evidence comes.
    heads = np.tile(np.arange(8.0), (60, 3, 1))
    heads[:31] = 1.0
    chosen = with_setting(name, smoothing=1, window=4, every=1, start=1)
    draw = detect(Trajectory.from_arrays(heads=heads), SearchConfig(heads=0.5, detector=name, **chosen))
    assert draw is not None
    assert draw.step == 31


# Hamming


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 4), st.sampled_from([0.1, 0.25, 0.5]))
def test_hamming_is_a_queue_of_masks(seed, queue, every, threshold):
    random = np.random.default_rng(seed)
    flips = random.random((40, 2, 5)) < random.choice([0.02, 0.1, 0.3])
    masks = np.logical_xor.accumulate(flips, axis=0)
    detector = HammingDistance(queue=queue, threshold=threshold, every=every)
    for step, mask in enumerate(masks):
        detector.update(observation(step, mask=mask))
        held = masks[every - 1 : step + 1 : every]
        assert detector.checked is ((step + 1) % every == 0 and len(held) >= queue)
        if detector.checked:
            largest = max(float((other != mask).mean()) for other in held[-queue:])
            assert detector.statistic == pytest.approx(largest)
            assert detector.settled is (largest <= threshold)


def test_hamming_counts_real_units_only():
    detector = HammingDistance(queue=2, units=(1, 3))
    first = np.array([[True, False, False], [True, True, False]])
    detector.update(observation(0, mask=first))
    detector.update(observation(1, mask=first & [[True, True, True], [True, False, False]]))
    assert detector.statistic == 0.25


@pytest.mark.parametrize("arguments", [{"queue": 1}, {"every": 0}])
def test_hamming_refuses_what_cannot_be(arguments):
    with pytest.raises(InputError, match=next(iter(arguments))):
        HammingDistance(**arguments)


# Names and their settings


def built(name, kind="heads", total_steps=14_774, **chosen):
    return detector_factory(DetectorConfig(detector=name, **chosen)).build(
        kind, MaskRule(0.5, "layer", (12,) * 12), "coefficient", total_steps, None
    )


def setting_of(detector):
    return (
        detector.smoothing,
        detector.window,
        detector.every,
        detector.later_window,
        detector.test.threshold,
    )


@pytest.mark.parametrize(
    ("test", "threshold"), [("ols", 0.20), ("ols-hac", 0.20), ("mann-kendall", 0.20), ("adf", 0.05)]
)
def test_published_settings(test, threshold):
    for kind in ("heads", "neurons"):
        assert setting_of(built(f"published-{test}", kind)) == (200, 300, 100, None, threshold)
        assert built(f"published-{test}", kind).first_check == 500
    assert setting_of(built(f"published-notebook-{test}", "heads")) == (200, 300, 100, 100, 0.10)
    assert setting_of(built(f"published-notebook-{test}", "neurons")) == (1, 300, 100, 100, 0.10)
    assert type(built(f"published-{test}").test) is type(built(test).test)
    assert built(test).test.threshold == threshold


def test_equivalence_settings():
    detector = built("equivalence", total_steps=1296)
    assert setting_of(detector) == (1, 108, 13, None, 0.02)
    assert detector.first_check == 130
    assert built("equivalence", total_steps=300).window == 50
    assert built("equivalence", total_steps=300, window=20).window == 20


def test_hamming_settings():
    detector = built("hamming")
    assert (detector.threshold, detector.every, detector._masks.maxlen) == (0.1, 1, 5)


def test_the_default_by_coefficients_is_rank_correlation_over_a_tenth_of_the_run():
    detector = detector_factory(DetectorConfig(score="coefficient")).build(
        "heads", MaskRule(0.5, "layer", (4,)), "coefficient", 1000, None
    )
    assert isinstance(detector, RankCorrelation)
    assert (detector.threshold, detector.first_check) == (0.98, 110)


@pytest.mark.parametrize(("name", "step"), [("published-ols", 499), ("published-notebook-ols", 499)])
def test_the_step_of_a_draw_is_the_newest_observation(name, step):
    trajectory = Trajectory.from_arrays(heads=ordered(600, 2, 6), neurons=ordered(600, 2, 30), total_steps=14_774)
    draw = detect(trajectory, SearchConfig(heads=0.3, neurons=0.4, detector=name))
    assert draw.step == step
    assert draw.fraction == (step + 1) / 14_774
    assert draw.statistic is None
    notebook = "notebook" in name
    assert {kind: settled.step for kind, settled in draw.kinds.items()} == {
        "heads": 499,
        "neurons": 299 if notebook else 499,
    }
    assert draw.kinds["heads"].threshold == (0.10 if notebook else 0.20)


@pytest.mark.parametrize(
    ("given_name", "near"),
    [("mann-kendal", "mann-kendall"), ("hamming-distance", "hamming"), ("equivalnce", "equivalence")],
)
def test_an_unknown_detector_is_told_the_nearest_name(given_name, near):
    with pytest.raises(InputError, match=f"no detector {given_name!r}; did you mean {near!r}"):
        detector_named(given_name)


def test_a_name_like_no_other_is_told_all_of_them():
    with pytest.raises(InputError) as error:
        detector_named("zzz")
    assert all(name in str(error.value) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_detector_says_what_it_does(name):
    assert DETECTORS[name].summary.endswith(".")
    assert DETECTORS[name].null


@pytest.mark.parametrize("threshold", [0, -0.1, 1, 1.5, float("nan")])
def test_a_threshold_outside_its_bounds_is_named(threshold):
    with pytest.raises(InputError, match=f"got {threshold}"):
        DetectorConfig(detector="ols", threshold=threshold)


@pytest.mark.parametrize("setting", ["smoothing", "window", "start"])
def test_hamming_refuses_a_setting_that_it_does_not_have(setting):
    with pytest.raises(InputError, match=f"hamming has no setting '{setting}'"):
        built("hamming", **{setting: 10})


# Several kinds


def at_once(heads, neurons, **arguments):
    trajectory = Trajectory.from_arrays(heads=heads, neurons=neurons)
    return detect(
        trajectory, SearchConfig(heads=0.5, neurons=0.5, neurons_scope="layer", detector="hamming", **arguments)
    )


def test_a_kind_that_has_settled_stays_settled_unless_all_must_at_once():
    heads, neurons = ordered(60, 2, 8), ordered(60, 2, 8)
    heads[10:40] = turning(30, 2, 8)
    neurons[:20] = turning(20, 2, 8)
    latched = at_once(heads, neurons)
    # Five masks alike: neurons from step 20 (which is like step 18) on, after an unlike one at step 19.
    assert latched.step == 24
    assert {kind: settled.step for kind, settled in latched.kinds.items()} == {"heads": 4, "neurons": 24}
    for kind, scores in (("heads", heads), ("neurons", neurons)):
        np.testing.assert_array_equal(latched.masks[kind], mask_at_ratio(scores[24], 0.5))
    simultaneous = at_once(heads, neurons, joint="simultaneous")
    assert simultaneous.step == 44
    assert latched.statistic == 0


def test_without_a_common_check_there_is_no_simultaneous_draw():
    heads, neurons = ordered(40, 2, 8), turning(40, 2, 8)
    heads[10:] = turning(30, 2, 8)
    neurons[20:] = ordered(20, 2, 8)
    assert at_once(heads, neurons, joint="simultaneous") is None
    assert at_once(heads, neurons).step == 24


def test_only_the_kinds_with_a_ratio_are_looked_at():
    heads, broken = ordered(60, 2, 8), np.full((60, 2, 8), np.nan)
    trajectory = Trajectory.from_arrays(heads=heads, neurons=broken)
    for neurons in (None, 0, 0.0):
        draw = detect(trajectory, SearchConfig(heads=0.5, neurons=neurons, detector="hamming"))
        assert draw.step == 4
        assert list(draw.kinds) == list(draw.masks) == ["heads"]


@pytest.mark.parametrize("ratios", [{"heads": 0}, {"heads": 0.0, "neurons": None}])
def test_nothing_to_prune_is_an_error(ratios):
    with pytest.raises(InputError, match="nothing to prune"):
        detect(Trajectory.from_arrays(heads=ordered(9, 2, 8)), SearchConfig(**ratios))


def test_a_ratio_for_a_kind_that_is_not_there_is_an_error():
    with pytest.raises(InputError, match=r"neurons was given \(0\.4\)"):
        detect(Trajectory.from_arrays(heads=ordered(9, 2, 8)), SearchConfig(neurons=0.4))


@pytest.mark.parametrize("arguments", [{"heads": 1.0}, {"heads": -0.2}, {"heads": float("nan")}])
def test_a_ratio_outside_its_bounds_is_an_error(arguments):
    with pytest.raises(InputError, match=f"got {arguments['heads']}"):
        detect(Trajectory.from_arrays(heads=ordered(9, 2, 8)), SearchConfig(**arguments))


def test_an_unknown_scope_or_score_is_an_error():
    trajectory = Trajectory.from_arrays(heads=ordered(90, 2, 8))
    with pytest.raises(InputError, match=r"heads_scope.*'block'"):
        detect(trajectory, SearchConfig(heads=0.5, heads_scope="block"))
    with pytest.raises(InputError, match=r"score must be one of.*'taylor'"):
        detect(trajectory, SearchConfig(heads=0.5, score="taylor"))
    with pytest.raises(InputError, match=r"did not record.*'gradient'.*coefficient"):
        detect(trajectory, SearchConfig(heads=0.5, score="gradient"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["heads", "neurons"])
def test_a_score_that_is_not_finite_is_named_with_kind_step_and_layer(kind, value):
    arrays = {"heads": turning(60, 3, 8), "neurons": turning(60, 3, 8)}
    arrays[kind][37, 2, 5] = value
    with pytest.raises(InputError, match=rf"got {value} for {kind} at step 37, layer 2, unit 5"):
        at_once(**arrays)


@pytest.mark.parametrize("first", [0, 5, 30])
def test_what_comes_after_the_draw_is_not_looked_at(first):
    heads, neurons = ordered(60, 2, 8), ordered(60, 2, 8)
    neurons[first:] = np.nan
    if first == 0:
        with pytest.raises(InputError, match="neurons at step 0"):
            at_once(heads, neurons)
    else:
        assert at_once(heads, neurons).step == 4


# Online and offline


def random_arrays(seed, steps, ties):
    """Trajectories that drift, wander or stand still, with ties where the values are few."""
    random = np.random.default_rng(seed)
    arrays = {}
    for kind, units in UNITS.items():
        shape = (steps, len(units), units[0])
        moves = random.normal(0, random.choice([0.0, 0.02, 0.3]), shape) * (random.random(shape) < 0.5)
        values = 1 + random.normal(0, 0.3, shape[1:]) + np.cumsum(moves, axis=0)
        values[: random.integers(0, 10)] = 1.0
        arrays[kind] = np.round(values, 1) if ties else values
    return arrays


def same(one, other):
    if one is None or other is None:
        return one is other
    return (
        (one.step, one.fraction, one.statistic, one.detector, one.kinds, one.kept_by_minimum)
        == (other.step, other.fraction, other.statistic, other.detector, other.kinds, other.kept_by_minimum)
        and list(one.masks) == list(other.masks)
        and all(np.array_equal(one.masks[kind], other.masks[kind]) for kind in one.masks)
    )


RUNS = {
    "seed": st.integers(0, 2**32 - 1),
    "ties": st.booleans(),
    "joint": st.sampled_from(["latched", "simultaneous"]),
    "score": st.sampled_from(["coefficient", "gradient", "squared-gradient"]),
    "chunk": st.integers(1, 60),
}


@pytest.mark.parametrize("name", [name for name in [*NAMES, *EXPRESSIONS] if name not in COSTLY])
@settings(max_examples=8)
@given(**RUNS)
def test_online_equals_offline_to_the_step(name, seed, ties, joint, score, chunk):
    chosen = with_setting(name, smoothing=3, window=9, every=6)
    assert_online_equals_offline(name, chosen, seed, ties, joint, score, chunk)


@pytest.mark.parametrize("name", COSTLY)
@settings(max_examples=2)
@given(**RUNS)
def test_online_equals_offline_for_costly_detectors(name, seed, ties, joint, score, chunk):
    chosen = with_setting(name, smoothing=3, window=9, every=6)
    assert_online_equals_offline(name, chosen, seed, ties, joint, score, chunk)


@pytest.mark.parametrize("criterion", CRITERIA)
@settings(max_examples=6)
@given(lag=st.integers(1, 30), **RUNS)
def test_online_equals_offline_by_every_criterion(criterion, lag, seed, ties, joint, score, chunk):
    chosen = {"smoothing": 3, "window": 9, "every": 6, "start": 1, "criterion": criterion}
    chosen |= {"lag": lag} if has_lag(criterion) else {}
    assert_online_equals_offline("equivalence", chosen, seed, ties, joint, score, chunk)


def assert_online_equals_offline(name, chosen, seed, ties, joint, score, chunk):
    steps = 48
    arrays = random_arrays(seed, steps, ties)
    if score == "coefficient":
        trajectory = Trajectory.from_arrays(**arrays)
    else:
        records = {(kind, "gradient"): np.abs(values) for kind, values in arrays.items()}
        trajectory = Trajectory(Shape(UNITS, ("gradient",), steps), records)

    arguments = {"heads": 0.5, "neurons": 0.3, "detector": name, "joint": joint, "score": score, **chosen}
    online = Detection(SearchConfig(**arguments), trajectory.shape, total_steps=steps)
    running = {kind: RunningScore(score, "coefficient" if score == "coefficient" else "gradient") for kind in UNITS}
    drawn_at = None
    for step in range(steps):
        evidence = {kind: np.abs(values[step : step + 1]) for kind, values in arrays.items()}
        draw = online.update({kind: running[kind].update(values) for kind, values in evidence.items()})
        if draw is not None and drawn_at is None:
            drawn_at = step

    with pytest.MonkeyPatch.context() as patch:
        # The size of a chunk in bytes: of one step 8 * 24, so `chunk` steps.
        patch.setattr(offline, "_CHUNK_BYTES", chunk * 8 * 24)
        in_chunks = detect(trajectory, SearchConfig(**arguments))
    assert same(online.draw, in_chunks)
    assert same(online.draw, detect(trajectory, SearchConfig(**arguments)))
    assert drawn_at == (None if online.draw is None else online.draw.step)


def test_the_random_trajectories_are_drawn_sometimes():
    """Else the test above would compare None with None."""
    drawn = {name: set() for name in [*NAMES, *EXPRESSIONS]}
    for name in drawn:
        for seed in range(2 if name in COSTLY else 12):
            arrays, channel, score = random_arrays(seed, 48, ties=False), "coefficient", "coefficient"
            if "recent-half" in name:  # coefficients at rest bring no evidence
                arrays = {kind: np.abs(values) for kind, values in arrays.items()}
                channel = score = "gradient"
            trajectory = Trajectory.from_arrays(**arrays, channel=channel)
            chosen = with_setting(name, smoothing=3, window=9, every=6)
            draw = detect(trajectory, SearchConfig(heads=0.5, neurons=0.3, score=score, detector=name, **chosen))
            drawn[name].add(None if draw is None else draw.step)
    assert all(steps - {None} for steps in drawn.values()), drawn
    assert any(len(steps) > 2 for steps in drawn.values())


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_running_scores_do_not_depend_on_the_chunks(seed, lengths):
    random = np.random.default_rng(seed)
    values = random.exponential(size=(sum(lengths), 2, 3)) * 10.0 ** random.integers(-8, 3, (sum(lengths), 2, 3))
    whole = RunningScore("squared-gradient", "squared-gradient").update(values).values
    running = RunningScore("squared-gradient", "squared-gradient")
    ends = np.cumsum(lengths)
    parts = [running.update(values[end - length : end]).values for end, length in zip(ends, lengths, strict=True)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_scores_by_their_definitions():
    values = np.array([1.0, -2.0, 4.0]).reshape(3, 1, 1)
    assert RunningScore("coefficient", "coefficient").update(values).values.ravel().tolist() == [1, 2, 4]
    assert RunningScore("coefficient", "deviation").update(values).values.ravel().tolist() == [2, 1, 5]
    mean = RunningScore("gradient", "gradient").update(np.abs(values)).values.ravel()
    np.testing.assert_allclose(mean, [1, 3 / 2, 7 / 3])


@given(
    st.lists(
        st.floats(-(2.0**20), 2.0**20, width=32)
        | st.floats(-3, -1, width=32)
        | st.sampled_from([-2.0, -1.0, -0.0, 0.0]),
        min_size=1,
        max_size=12,
    )
)
def test_deviations_rank_units_as_their_magnitudes_do(coefficients):
    scores = RunningScore("coefficient", "deviation").update(np.array(coefficients, dtype=np.float32)[None, None])
    assert scores.ranking.dtype == np.float32
    # In fractions, which round nothing.
    magnitudes = [abs(1 + Fraction(value)) for value in coefficients]
    assert [Fraction(value) + 1 for value in scores.ranking.ravel().tolist()] == magnitudes
    assert scores.at(0).ravel().tolist() == scores.values.ravel().tolist() == [float(each) for each in magnitudes]


def test_a_step_before_one_that_is_no_number_keeps_its_scores():
    evidence = np.float32([[[-3, -0.5]], [[np.nan, -0.5]]])
    assert RunningScore("coefficient", "deviation").update(evidence).at(0).tolist() == [[2, 0.5]]


def test_a_deviation_keeps_the_digits_that_a_coefficient_near_one_loses():
    deviation = np.float32([[[1e-9, 2e-9, 3e-9, 4e-9]]])
    assert (np.diff(RunningScore("coefficient", "deviation").update(deviation).values) > 0).all()
    trajectory = Trajectory(Shape({"heads": (4,)}, ("deviation",), 1), {("heads", "deviation"): deviation})
    (scores,) = score_chunks(trajectory, ("heads",))
    assert mask_at_ratio(scores["heads"].values, 0.5).tolist() == [[[False, False, True, True]]]


def test_a_draw_at_a_given_step_takes_that_steps_masks(monkeypatch):
    arrays = random_arrays(3, 20, ties=False)
    trajectory = Trajectory.from_arrays(**arrays)
    config = SearchConfig(heads=0.5, neurons=0.3)
    monkeypatch.setattr(offline, "_CHUNK_BYTES", 7 * 8 * 24)
    for step in (0, 6, 7, 19):
        draw = draw_at(trajectory, step, config)
        assert (draw.step, draw.fraction, draw.statistic) == (step, (step + 1) / 20, None)
        assert (draw.how, draw.detector) == ("step", None)
        expected = mask_at_ratio(np.abs(arrays["neurons"][step]), 0.3, "global")
        np.testing.assert_array_equal(draw.masks["neurons"], expected)
    for step in (-1, 20):
        with pytest.raises(InputError, match=rf"0\.\.19.*got {step}"):
            draw_at(trajectory, step, config)


def test_uniform_draws_keep_the_same_count_in_every_block():
    neurons = np.arange(60.0).reshape(3, 20)[None].repeat(10, axis=0)
    draw = detect(Trajectory.from_arrays(neurons=neurons), SearchConfig(neurons=0.5, uniform=True, detector="hamming"))
    assert draw.masks["neurons"].sum(-1).tolist() == [10, 10, 10]
    assert draw.kept_by_minimum["neurons"] == ()
    draw = detect(Trajectory.from_arrays(neurons=neurons), SearchConfig(neurons=0.9, detector="hamming"))
    assert draw.kept_by_minimum["neurons"] == (0, 1)


# Spans


@pytest.mark.parametrize(
    ("written", "steps"),
    [
        (300, 300),
        ("300", 300),
        (1, 1),
        (0.02, 20),
        ("0.02", 20),
        ("2%", 20),
        (" 2.5 % ", 25),
        ("100%", 1000),
        (1e-9, 1),
        ("3ep", 300),
        ("0.5ep", 50),
        (Span(7, "steps"), 7),
    ],
)
def test_spans_are_read_as_people_write_them(written, steps):
    assert parse_span(written).steps(1000, 100.0) == steps


def test_no_span_is_none():
    assert parse_span(None) is None


@pytest.mark.parametrize(
    "written",
    [
        0,
        -1,
        0.0,
        1.0,
        -0.5,
        1.5,
        300.0,
        float("nan"),
        float("inf"),
        True,
        False,
        [],
        {},
        b"2%",
        2j,
        "",
        " ",
        "0",
        "0%",
        "101%",
        "-2%",
        "0ep",
        "-1ep",
        "ep",
        "%",
        "3 weeks",
        "1e3",
        "1.0",
        "2%%",
        "3ep ep",
        "0x10",
        "1_000",
        "nan",
        "inf",
        "9" * 5000,
        "9" * 500 + "ep",
    ],
)
def test_bad_spans_are_refused_by_value(written):
    with pytest.raises(InputError, match=r"a span is steps .* got"):
        parse_span(written)


@given(st.text("0123456789.%ep -+_e", max_size=12) | st.floats() | st.integers())
def test_a_span_is_read_or_refused_and_never_zero(written):
    try:
        span = parse_span(written)
    except InputError:
        return
    assert span.steps(1000, 100.0) >= 1
    assert str(span)


def test_epochs_need_the_length_of_an_epoch():
    with pytest.raises(InputError, match="3ep is in epochs, but steps_per_epoch is not known"):
        parse_span("3ep").steps(1000, None)
    neurons = ordered(60, 2, 8)
    arguments = {"neurons": 0.5, "detector": "ols", "smoothing": 1, "window": "2ep", "every": "0.5ep"}
    with pytest.raises(InputError, match="steps_per_epoch"):
        detect(Trajectory.from_arrays(neurons=neurons), SearchConfig(**arguments))
    assert detect(Trajectory.from_arrays(neurons=neurons, steps_per_epoch=8), SearchConfig(**arguments)).step == 15


@pytest.mark.parametrize("spans", [(4, 20, 2), (0.04, 0.2, 0.02), ("4%", "20%", "2%")])
def test_spans_of_all_sorts_give_the_same_draw(spans):
    smoothing, window, every = spans
    trajectory = Trajectory.from_arrays(neurons=ordered(60, 2, 8), total_steps=100)
    draw = detect(
        trajectory, SearchConfig(neurons=0.5, detector="ols", smoothing=smoothing, window=window, every=every)
    )
    assert draw.step == 23


@pytest.mark.parametrize("name", TESTED)
def test_a_window_longer_than_the_run_is_refused(name):
    trajectory = Trajectory.from_arrays(neurons=ordered(60, 2, 8), total_steps=100)
    chosen = {"detector": name, "neurons": 0.5, "smoothing": 10, "every": 1}
    with pytest.raises(InputError, match=r"first check .* step 101, after the run's 100 steps"):
        detect(trajectory, SearchConfig(window=92, **chosen))
    # It would check at step 100 of the run, of which 60 are recorded.
    with pytest.raises(InputError, match=f"holds 60 of 100 planned steps, and {name} first looks after 100"):
        detect(trajectory, SearchConfig(window=91, **chosen))
    assert detect(trajectory, SearchConfig(window=51, **chosen)) is not None


@pytest.mark.parametrize("name", ["published-ols", "published-notebook-adf"])
def test_published_windows_do_not_fit_a_short_run(name):
    with pytest.raises(InputError, match="after the run's 400 steps"):
        built(name, total_steps=400)


def test_a_window_too_short_for_a_test_is_refused():
    with pytest.raises(InputError, match="window must be at least 4 values, got 3"):
        built("ols", window=3)


def test_start_delays_the_first_check():
    trajectory = Trajectory.from_arrays(neurons=ordered(60, 2, 8))
    arguments = {"neurons": 0.5, "detector": "equivalence", "window": 4, "every": 3}
    assert detect(trajectory, SearchConfig(start=1, **arguments)).step == 5
    assert detect(trajectory, SearchConfig(start=20, **arguments)).step == 20
    assert detect(trajectory, SearchConfig(start="50%", **arguments)).step == 29


def test_a_specification_can_be_changed_without_changing_the_registered_one():
    changed = replace(DETECTORS["ols"], window=Span(5, "steps"))
    assert (
        NamedDetector("mine", changed).build("heads", MaskRule(0.5, "layer", (4,)), "coefficient", 1000, None).window
        == changed.least_window
    )
    assert built("ols", total_steps=1000).window == 60
    with pytest.raises(TypeError):
        DETECTORS["ols"] = changed


def test_rounding_online_and_offline_and_what_a_mask_captures_of_its_own_kind():
    scores = np.random.default_rng(0).random((1, 3, 40)).repeat(80, axis=0)
    draw = detect(
        Trajectory.from_arrays(neurons=scores), SearchConfig(neurons=0.5, detector="half-time-capture", round_to=8)
    )
    assert draw is not None
    counts = draw.masks["neurons"].sum(-1)
    assert (counts % 8 == 0).all()
    rule = MaskRule(0.5, "global", (40,) * 3, round_to=8)
    assert captured_by(rule, draw.masks["neurons"], scores[0]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("steps", "config", "said"),
    [
        (350, {"detector": "published-ols"}, "step 500, .*window=300 and smoothing=200.*a shorter window or smoothing"),
        (100, {"detector": "published-ols", "window": 50}, "smoothing=200 .*choose a shorter smoothing or every"),
        (
            100,
            {"detector": "ols", "window": 5000},
            "5004, .* since it waits for window=5000; choose a shorter window, or",
        ),
        (100, {"detector": "all(ols, kpss)", "window": 5000}, "it waits for window=5000"),
        (3, {"detector": "hamming"}, "step 5, after the run's 3 steps; choose a detector that looks earlier"),
    ],
)
def test_a_run_too_short_for_a_check_is_told_what_it_waits_for(steps, config, said):
    trajectory = Trajectory.from_arrays(heads=np.ones((steps, 2, 8)), total_steps=steps)
    with pytest.raises(InputError, match=said):
        detect(trajectory, SearchConfig(heads=0.5, **config))
