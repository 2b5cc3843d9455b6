"""Many detectors at once say what each says alone."""

from __future__ import annotations

import numpy as np
import pytest

from earlybird import SearchConfig
from earlybird.detectors.comparison import detect_each
from earlybird.detectors.listing import described_detectors
from earlybird.detectors.offline import detect
from earlybird.detectors.presets import DETECTORS
from earlybird.errors import InputError
from earlybird.trajectory import Trajectory

NAMES = ["equivalence", "ols", "adf", "half-time-capture", "hamming", "lagged-overlap", "published-ols"]


def arrays(steps=300):
    random = np.random.default_rng(4)
    fading = np.exp(-np.arange(steps) / 50)[:, None, None]
    return {
        kind: np.abs(1 + (random.normal(0, 0.1, (steps, 3, units)) * fading).cumsum(0))
        for kind, units in (("heads", 8), ("neurons", 40))
    }


def each(trajectory, names, **arguments):
    configs = {name: SearchConfig(heads=0.5, neurons=0.3, detector=name, **arguments) for name in names}
    return detect_each(trajectory, configs)


@pytest.mark.parametrize("joint", ["latched", "simultaneous"])
def test_each_verdict_is_the_detectors_own(joint):
    trajectory = Trajectory.from_arrays(**arrays())
    verdicts = each(trajectory, NAMES, joint=joint)
    assert list(verdicts) == NAMES
    for name in NAMES[:-1]:
        alone = detect(trajectory, SearchConfig(heads=0.5, neurons=0.3, detector=name, joint=joint))
        drawn = verdicts[name].draw
        assert (drawn is None) is (alone is None)
        if drawn is None:
            assert verdicts[name].reason == "not settled within the 300 recorded steps"
            continue
        assert drawn.description() == alone.description()
        assert verdicts[name].description()["draw_step"] == alone.step
        for kind, mask in alone.masks.items():
            np.testing.assert_array_equal(drawn.masks[kind], mask)
    assert sum(verdict.draw is not None for verdict in verdicts.values()) >= 4
    assert "after the run's 300 steps" in verdicts["published-ols"].reason


def test_a_kind_that_settled_is_told_though_the_other_did_not():
    values = arrays()
    values["neurons"] = np.random.default_rng(0).random((300, 3, 40))
    verdict = each(Trajectory.from_arrays(**values), ["equivalence", "lagged-overlap"])["lagged-overlap"]
    assert verdict.draw is None
    assert list(verdict.settled) == ["heads"]
    assert list(verdict.description()["kinds"]) == ["heads"]


def test_a_record_that_is_too_short_or_a_package_that_is_missing_stops_no_other(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "arch", None)
    short = {kind: values[:20] for kind, values in arrays().items()}
    trajectory = Trajectory.from_arrays(**short, total_steps=300)
    verdicts = each(trajectory, ["ols", "phillips-perron", "hamming"])
    assert "holds 20 of 300 planned steps" in verdicts["ols"].reason
    assert "earlybird[statistics]" in verdicts["phillips-perron"].reason
    assert verdicts["hamming"].reason in ("", "not settled within the 20 recorded steps")


def test_scores_that_are_not_finite_are_an_error_unless_all_have_drawn_before():
    values = arrays()
    values["heads"][60, 1, 2] = np.nan
    with pytest.raises(InputError, match="for heads at step 60, layer 1, unit 2"):
        each(Trajectory.from_arrays(**values), NAMES)
    assert each(Trajectory.from_arrays(**values), ["hamming"])["hamming"].draw is not None


def test_every_detector_is_described_with_its_hypothesis_settings_and_cost():
    rows = described_detectors()
    assert [row["detector"].partition(" (default")[0] for row in rows[: len(DETECTORS)]] == list(DETECTORS)
    assert all(row.keys() == rows[0].keys() and all(row.values()) for row in rows)
    described = {row["detector"]: row for row in rows}
    assert "lag 5%" in described["lagged-overlap"]["settings"]
    assert "criterion nuclear-norm" in described["ols"]["settings"]
