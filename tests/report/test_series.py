"""The series behind the plots, against a direct computation step by step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from earlybird import SearchConfig
from earlybird.criteria import captured
from earlybird.masks import MaskRule, mask_at_ratio
from earlybird.report import series as series_module
from earlybird.report.coefficients import QUANTILES, coefficient_quantiles
from earlybird.report.series import mask_series, moving_average, sampled_steps
from earlybird.report.statistic import replay
from earlybird.trajectory import Shape, Trajectory
from earlybird.vocabulary import Scope


def _ragged(steps: int = 40) -> Trajectory:
    """Blocks of 5 and 3 units, with padding that would be the largest if it counted."""
    coefficients = np.random.default_rng(0).normal(0, 0.1, (steps, 2, 5)).cumsum(0).astype(np.float32)
    coefficients[:, 1, 3:] = 100.0
    shape = Shape({"neurons": (5, 3)}, ("deviation",), steps)
    return Trajectory(shape, {("neurons", "deviation"): coefficients})


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_series_equal_a_direct_computation(scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_module, "_CHUNK_BYTES", 8 * 10 * 7)  # seven steps a chunk
    trajectory = _ragged()
    rule = MaskRule(0.5, scope, (5, 3))

    result = mask_series(trajectory, "neurons", rule, "coefficient")

    scores = np.abs(1.0 + trajectory.evidence("neurons", "deviation").astype(np.float64))
    last = mask_at_ratio(scores[-1], 0.5, scope, units=(5, 3))
    assert result.steps.tolist() == list(range(40))
    for step in range(40):
        mask = mask_at_ratio(scores[step], 0.5, scope, units=(5, 3))
        singular_values = np.linalg.svd(mask.astype(float), compute_uv=False)
        assert result.norm[step] == pytest.approx(singular_values.sum())
        assert result.overlap[step] == pytest.approx((mask & last).sum() / last.sum())
        expected = captured(mask, scores[-1], 0.5, scope, units=(5, 3))
        assert result.captured[step] == pytest.approx(float(expected))
    assert result.overlap[-1] == 1.0
    assert result.captured[-1] == pytest.approx(1.0)


def test_some_steps_are_those_of_all() -> None:
    trajectory = _ragged()
    rule = MaskRule(0.5, "global", (5, 3))
    steps = np.array([0, 7, 39])
    some, everything = (
        mask_series(trajectory, "neurons", rule, "coefficient", steps=chosen) for chosen in (steps, None)
    )
    assert some.norm.tolist() == everything.norm[steps].tolist()
    assert some.captured.tolist() == everything.captured[steps].tolist()


def test_sampled_steps_keep_the_ends_and_what_matters() -> None:
    steps = sampled_steps(14_774, 2000, include={1234, 20_000})
    assert len(steps) <= 2000
    assert {0, 1234, 14_773} <= set(steps.tolist())
    assert sampled_steps(1).tolist() == [0]
    assert sampled_steps(5).tolist() == [0, 1, 2, 3, 4]


def test_moving_average_is_centred_and_keeps_the_ends() -> None:
    values = np.array([0.0, 3.0, 6.0, 3.0, 30.0])
    assert moving_average(values, 3) == pytest.approx([0.0, 3.0, 4.0, 13.0, 30.0])


def test_quantiles_leave_padding_out() -> None:
    trajectory = _ragged()
    result = coefficient_quantiles(trajectory, "neurons", np.array([0, 39]))
    values = 1.0 + trajectory.evidence("neurons", "deviation").astype(np.float64)
    second = np.quantile(np.abs(values[39, 1, :3]), QUANTILES)
    assert result.values[2, :, 1] == pytest.approx(second)
    assert result.values[0, -1].max() < 50


def test_the_replay_draws_where_the_detector_did(finished: Path) -> None:
    trajectory = Trajectory.open(finished / "search" / "trajectory")
    config = SearchConfig(heads=0.5, neurons=0.5)

    result = replay(trajectory, config)

    assert result.draw is not None
    assert not result.settled_below
    for kind, draw in result.draw.kinds.items():
        trace = result.traces[kind]
        assert trace.steps[-1] == result.draw.step
        assert trace.values[trace.steps == draw.step].tolist() == [draw.statistic]


@pytest.mark.parametrize(
    ("detector", "below"), [("ols", False), ("mann-kendall", False), ("adf", True), ("hamming", True)]
)
def test_which_side_of_the_threshold_is_settled(finished: Path, detector: str, below: bool) -> None:
    trajectory = Trajectory.open(finished / "search" / "trajectory")
    config = SearchConfig(heads=0.5, detector=detector)
    assert replay(trajectory, config).settled_below is below
