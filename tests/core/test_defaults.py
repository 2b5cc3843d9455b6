"""What a config says where its user says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

import earlybird as eb
from earlybird.config import DetectorConfig
from earlybird.detectors.base import Detector, Observation
from earlybird.detectors.defaults import with_amount, with_defaults
from earlybird.detectors.detection import Detection
from earlybird.detectors.random_start import RandomStart
from earlybird.detectors.recent_half_capture import RecentHalfCapture
from earlybird.errors import InputError
from earlybird.masks import MaskRule, UnitCosts
from earlybird.recipes.compare import compare
from earlybird.trajectory import Shape, TrajectoryWriter

STEPS, LAYERS = 400, 3


def _settling(seed: int, units: int) -> NDArray[np.float32]:
    """|Gradients| (steps, layers, units) whose means differ by unit: the longer one looks, the surer their order."""
    generator = np.random.default_rng(seed)
    size = np.linspace(0.2, 2.0, units)[generator.permuted(np.tile(np.arange(units), (LAYERS, 1)), axis=1)]
    return np.abs(generator.normal(size=(STEPS, LAYERS, units)) * size).astype(np.float32)


def _trajectory(**channel: str) -> eb.Trajectory:
    return eb.Trajectory.from_arrays(heads=_settling(0, 12), neurons=_settling(1, 40), total_steps=STEPS, **channel)


class Counted:
    """A source whose FLOPs are known, or not."""

    units: ClassVar = {"heads": (12,) * LAYERS, "neurons": (40,) * LAYERS}
    key_value_groups = None
    valid_head_counts = None
    expert_groups = None

    def __init__(self, known: bool = True) -> None:
        self.known = known

    def unit_costs(self, measure: str, tokens: int) -> UnitCosts:
        if not self.known:
            raise eb.InputError("the FLOPs cannot be counted")
        each = dict.fromkeys(self.units, (1.0,) * LAYERS)
        return UnitCosts("flops", tokens, each, (0.0,) * LAYERS, 0.0, 52.0 * LAYERS)


def test_a_search_that_is_asked_for_nothing_leaves_half_of_the_flops_and_mends_the_cut() -> None:
    config = with_amount(eb.SearchConfig(), Counted())
    assert (config.flops, config.heads, config.neurons) == (0.5, None, None)
    assert config.compensation == 16
    # What is asked for stands, and the other kind is left alone.
    for asked in ({"neurons": 0.4}, {"heads": 0}, {"parameters": 0.3}, {"heads": 0.4, "neurons": 0.4}):
        given = eb.SearchConfig(**asked)
        assert with_amount(given, Counted()) is given
    assert eb.SearchConfig(heads=0.4).heads_scope == eb.PruningConfig().heads_scope == "layer"
    # A ticket of one's own is asked for by its ratios.
    assert not eb.PruningConfig().says_amount


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        ({}, False),
        ({"score": "coefficient"}, True),
        ({"score": "gradient"}, True),
        ({"detector": "hamming"}, True),
        ({"detector": "any(recent-half-capture, hamming)", "score": "squared-gradient"}, True),
        ({"l1_heads": 1e-3}, True),
        ({"heads_scope": "layer"}, True),
    ],
)
def test_where_no_budget_can_be_met_there_are_ratios(settings: dict[str, Any], known: bool) -> None:
    config = with_amount(eb.SearchConfig(**settings), Counted(known))
    assert (config.flops, config.heads, config.neurons) == (None, 0.4, 0.63)
    assert (config.heads_scope, config.neurons_scope) == (settings.get("heads_scope", "global"), "global")


def test_a_record_is_asked_for_half_of_the_flops_where_it_tells_them() -> None:
    plain = _trajectory(channel="gradient")
    assert eb.detect(plain, eb.SearchConfig()).config.heads == 0.4
    counted = Detection(eb.SearchConfig(), Counted(), total_steps=STEPS)
    assert counted.config.flops == 0.5
    combined = Detection(eb.SearchConfig(detector="all(recent-half-capture, fixed-time)"), Counted(), total_steps=STEPS)
    assert combined.config.flops == 0.5


@pytest.mark.parametrize(
    ("score", "detector", "expected"),
    [
        (None, None, ("squared-gradient", "recent-half-capture")),
        ("gradient", None, ("gradient", "recent-half-capture")),
        ("coefficient", None, ("coefficient", "rank-correlation")),
        (None, "fixed-time", ("squared-gradient", "fixed-time")),
        (None, "random-start", ("squared-gradient", "random-start")),
        # The study's are made for coefficients, and so is what holds one of them.
        (None, "mann-kendall", ("coefficient", "mann-kendall")),
        (None, "any(recent-half-capture, adf)", ("coefficient", "any(recent-half-capture, adf)")),
        (None, "repeat(recent-half-capture, 2)", ("squared-gradient", "repeat(recent-half-capture, 2)")),
        ("squared-gradient", "mann-kendall", ("squared-gradient", "mann-kendall")),
    ],
)
def test_score_and_detector_say_each_other(score: str | None, detector: str | None, expected: tuple[str, str]) -> None:
    filled = with_defaults(DetectorConfig(score=score, detector=detector))
    assert (filled.score, filled.detector) == expected
    assert with_defaults(filled) == filled


def test_who_sets_how_coefficients_are_trained_asks_for_them() -> None:
    for own in ({"learning_rate": 1e-2}, {"l1_heads": 0.0}, {"l1_neurons": 1e-3}):
        assert with_defaults(eb.SearchConfig(**own)).score == "coefficient"
        assert with_defaults(eb.SearchConfig(**own, score="gradient")).score == "gradient"
    # Where a coefficient acts matters to its gradient, too.
    assert with_defaults(eb.SearchConfig(slim="before")).score == "squared-gradient"


def test_an_object_is_asked_for_its_score() -> None:
    class Never(Detector):
        def check(self, observation: Observation) -> tuple[None, bool]:
            return None, False

    own = Never()
    assert with_defaults(eb.SearchConfig(detector=own)).score == "coefficient"
    own.score = "gradient"
    assert with_defaults(eb.SearchConfig(detector=own)).score == "gradient"
    recent = RecentHalfCapture(MaskRule(0.5, "global", [8]), "squared-gradient", threshold=0.9, start=4)
    assert with_defaults(eb.SearchConfig(detector=recent)).score == "squared-gradient"


def test_all_detectors_are_asked_by_one_score(tmp_path: Path) -> None:
    shape = Shape({"neurons": (40,) * LAYERS}, ("deviation", "gradient"), STEPS)
    walk = np.cumsum(np.random.default_rng(0).normal(0, 1e-3, (STEPS, LAYERS, 40)), axis=0).astype(np.float32)
    with TrajectoryWriter(tmp_path, shape, chunk_steps=50) as writer:
        for deviation, gradient in zip(walk, _settling(1, 40), strict=True):
            writer.append({("neurons", "deviation"): deviation, ("neurons", "gradient"): gradient})
    trajectory, verdicts = compare(tmp_path, {"detector": "all", "neurons": 0.5})
    alone = eb.detect(trajectory, eb.SearchConfig(neurons=0.5))
    assert alone is not None
    assert verdicts["recent-half-capture"].draw is not None
    assert verdicts["recent-half-capture"].draw.step == alone.step
    scores = {verdict.draw.config.score for verdict in verdicts.values() if verdict.draw is not None}
    assert scores == {"squared-gradient"}


def test_a_record_is_read_by_what_it_holds() -> None:
    by_gradients = eb.detect(_trajectory(channel="gradient"), eb.SearchConfig())
    assert by_gradients is not None
    assert (by_gradients.config.score, by_gradients.config.detector) == ("squared-gradient", "recent-half-capture")
    named = eb.SearchConfig(score="squared-gradient", detector="recent-half-capture")
    again = eb.detect(_trajectory(channel="gradient"), named)
    assert again is not None
    assert again.step == by_gradients.step

    by_coefficients = eb.detect(_trajectory(), eb.SearchConfig(detector="hamming", threshold=0.9))
    assert by_coefficients is not None
    assert by_coefficients.config.score == "coefficient"
    early = eb.detect(_trajectory(), eb.SearchConfig(detector="fixed-time"))
    assert early is not None
    assert early.config.score == "coefficient"
    with pytest.raises(InputError, match="did not record what the score 'squared-gradient' needs"):
        eb.detect(_trajectory(), eb.SearchConfig(score="squared-gradient"))


def test_a_random_start_waits_for_nothing_and_looks_at_nothing() -> None:
    config = eb.SearchConfig(heads=0.5, neurons=0.3, detector="random-start")
    draw = eb.detect(_trajectory(channel="gradient"), config)
    assert draw is not None
    assert draw.step == 0
    # As many as by scores, by each block for heads and over all for neurons; and not those of the scores.
    assert draw.masks["heads"].sum(-1).tolist() == [6] * LAYERS
    assert draw.masks["neurons"].sum() == 120 - (int(0.3 * 119) + 1)
    scored = eb.detect(_trajectory(channel="gradient"), eb.SearchConfig(heads=0.5, neurons=0.3))
    assert scored is not None
    assert (draw.masks["neurons"] != scored.masks["neurons"]).any()
    with pytest.raises(InputError, match="no setting 'threshold'"):
        eb.detect(_trajectory(channel="gradient"), eb.SearchConfig(detector="random-start", threshold=0.5))


def test_a_random_start_chooses_the_same_units_whatever_the_scores() -> None:
    rule = MaskRule(0.5, "global", [8, 8])
    detector = RandomStart(rule)
    chosen = []
    for seed in range(2):
        scores = np.random.default_rng(seed).random((2, 8))
        observation = Observation(0, scores, rule.masks(scores), {}, evidence=True)
        detector.update(observation)
        assert detector.settled
        chosen.append(detector.chosen(observation).mask)
    np.testing.assert_array_equal(*chosen)
    assert chosen[0].sum() == 8
