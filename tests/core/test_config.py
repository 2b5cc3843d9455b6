"""What a config takes, what it refuses, and in which words."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earlybird.config import (
    DETECTOR_SETTINGS,
    DetectorConfig,
    PruningConfig,
    SearchConfig,
    SlimmingConfig,
    plain_values,
)
from earlybird.detectors import Detector, HammingDistance
from earlybird.errors import InputError
from earlybird.vocabulary import CRITERIA, SCORES

SPANS = st.one_of(st.none(), st.integers(1, 999), st.sampled_from(["2%", "0.5%", "3ep", "1.5ep"]))
RATIOS = st.one_of(st.none(), st.floats(0, 0.99))
SCOPES = st.sampled_from(["layer", "global"])
CONFIGS = st.builds(
    SearchConfig,
    heads=RATIOS,
    neurons=RATIOS,
    heads_scope=SCOPES,
    neurons_scope=SCOPES,
    uniform=st.booleans(),
    kv_groups=st.sampled_from([None, "whole", "within"]),
    round_to=st.integers(1, 64),
    exclude=st.lists(st.text(max_size=9), max_size=2),
    score=st.sampled_from(SCORES),
    detector=st.sampled_from([None, "ols", "all(ols, adf)"]),
    smoothing=SPANS,
    window=SPANS,
    every=SPANS,
    start=SPANS,
    lag=SPANS,
    criterion=st.sampled_from([None, *CRITERIA]),
    threshold=st.one_of(st.none(), st.floats(0.001, 0.999)),
    joint=st.sampled_from(["latched", "simultaneous"]),
    slim=st.sampled_from(["after", "before"]),
    neuron_slim=st.sampled_from(["after", "before"]),
    l1_heads=st.floats(0, 1),
    l1_neurons=st.floats(0, 1),
    learning_rate=st.one_of(st.none(), st.floats(1e-9, 1)),
)


@given(CONFIGS)
def test_a_config_is_read_back_from_what_json_can_hold(config):
    assert SearchConfig.from_plain(json.loads(json.dumps(plain_values(config)))) == config


@given(CONFIGS)
def test_another_detector_comes_with_its_own_settings_and_changes_nothing_else(config):
    before, after = plain_values(config), plain_values(config.with_detector("kpss"))
    assert {name for name in before if before[name] != after[name]} <= {*DETECTOR_SETTINGS, "detector"}
    assert all(after[name] is None for name in DETECTOR_SETTINGS)


def test_a_config_does_not_change():
    with pytest.raises(FrozenInstanceError):
        SearchConfig().heads = 0.3


def test_neurons_compete_over_the_model_unless_their_ratios_are_by_block():
    assert PruningConfig(neurons=0.5).neurons_scope == "global"
    assert PruningConfig(neurons={"*": 0.5}).neurons_scope == "layer"
    assert PruningConfig(neurons={"*": 0.5}, neurons_scope="global").neurons_scope == "global"


class Unfinished:
    update = setled = checked = statistic = first_check = criteria = None


class Still(Detector):
    def check(self, observation):
        return 1.0, True


@pytest.mark.parametrize(
    ("config", "fields", "said"),
    [
        (PruningConfig, {"heads": 1.2}, r"heads: ratio must lie in \[0, 1\), got 1.2; to prune nothing use 0"),
        (PruningConfig, {"heads": -0.1}, "got -0.1"),
        (PruningConfig, {"neurons": float("nan")}, "got nan"),
        (PruningConfig, {"neurons": "0.5"}, "got '0.5'"),
        (PruningConfig, {"heads": True}, "got True"),
        (PruningConfig, {"neurons": {"*": 1.0}}, r"neurons: ratio must lie in \[0, 1\), got 1.0"),
        (PruningConfig, {"heads_scope": "nonsense"}, "heads_scope must be one of layer, global, got 'nonsense'"),
        (PruningConfig, {"neurons": {"*": 0.5}, "neurons_scope": "nonsense"}, "neurons_scope must be one of"),
        (PruningConfig, {"kv_groups": "hole"}, "did you mean 'whole'?"),
        (PruningConfig, {"uniform": 1}, "uniform must be True or False, got 1"),
        (PruningConfig, {"round_to": 0}, "at least 1, got 0; 1 rounds nothing"),
        (PruningConfig, {"round_to": 8.0}, "whole number"),
        (PruningConfig, {"exclude": "encoder.*"}, r"for one give exclude=\[NAME\]"),
        (PruningConfig, {"exclude": None}, "exclude must hold names of blocks, got None"),
        (PruningConfig, {"exclude": 5}, "exclude must hold names of blocks, got 5"),
        (PruningConfig, {"uniform": True, "heads": {"*": 0.5}}, "give one ratio, or leave out uniform"),
        (SearchConfig, {"neurons": {"*": 0.5}, "uniform": True}, "a search prunes each kind by one ratio"),
        (SearchConfig, {"neurons": {"*": 0.5}}, r"give one, and exclude=\[...\] for blocks to leave alone"),
        (DetectorConfig, {"score": "gradients"}, "did you mean 'gradient'?"),
        (DetectorConfig, {"joint": "latch"}, "did you mean 'latched'?"),
        (DetectorConfig, {"criterion": "overlaps"}, "did you mean 'overlap'?"),
        (DetectorConfig, {"window": "2 hours"}, "window: "),
        (DetectorConfig, {"threshold": 1.0}, r"threshold must lie in \(0, 1\), got 1.0"),
        (DetectorConfig, {"threshold": "0.5"}, "threshold must lie in"),
        (DetectorConfig, {"detector": HammingDistance}, r"got the class HammingDistance: give HammingDistance\(...\)"),
        (DetectorConfig, {"detector": Unfinished()}, "Unfinished has no 'settled', but 'setled'"),
        (DetectorConfig, {"detector": Still(), "window": 9}, "window cannot be set beside a detector of your own"),
        (SlimmingConfig, {"slim": "afterwards"}, "did you mean 'after'?"),
        (SlimmingConfig, {"l1_heads": -1.0}, "l1_heads must be a number of at least 0, got -1.0; 0 penalises nothing"),
        (SlimmingConfig, {"l1_neurons": 10**400}, "l1_neurons must be a number of at least 0"),
        (SlimmingConfig, {"learning_rate": 0}, "learning_rate must be a number above 0, got 0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(config, fields, said):
    with pytest.raises(InputError, match=said) as refused:
        config(**fields)
    assert "\n" not in str(refused.value)


def test_numbers_of_numpy_are_numbers():
    config = SearchConfig(heads=np.float32(0.5), neurons=np.float64(0.25), l1_heads=np.float32(0))
    assert json.loads(json.dumps(plain_values(config)))["heads"] == 0.5


def test_a_setting_that_there_is_not_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="there is no setting 'head'; did you mean 'heads'"):
        SearchConfig.from_plain({"head": 0.3})
