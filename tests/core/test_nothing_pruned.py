"""A ratio above 0 prunes something whatever the scores, or is refused with the nearest ratio that does."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given, reject
from hypothesis import strategies as st

import earlybird as eb
from earlybird.masks import MaskRule


@pytest.mark.parametrize(
    ("units", "options", "named"),
    [
        # 8 groups of 4 heads, of which a config with a hidden size of 2,048 accepts 1, 2, 4 or 8: 6 are rounded to 8.
        (
            [32, 32],
            {"uniform": True, "key_value_groups": [8, 8], "valid_counts": [1, 2, 4, 8, 16, 32]},
            "ratio 0.25 prunes nothing.* prunes something is 0.286$",
        ),
        (
            [12, 12],
            {"uniform": True, "valid_counts": [1, 12]},
            "ratio 0.25 prunes nothing.* prunes something is 0.455$",
        ),
        ([64, 64], {"round_to": 64}, "ratio 0.25 prunes nothing.*round_to=64.*so does every ratio"),
        ([100, 100], {"round_to": 128}, "ratio 0.25 prunes nothing.*round_to=128.*so does every ratio"),
        ([128, 128], {"round_to": 64}, "ratio 0.25 prunes nothing.*round_to=64.* prunes something is 0.252$"),
        ([128, 128], {"round_to": 64, "scope": "global"}, "ratio 0.25 prunes nothing.* prunes something is 0.251$"),
        ([8, 8], {"key_value_groups": [1, 1], "kv_groups": "whole"}, 'ratio 0.25 prunes nothing.*kv_groups="within"'),
    ],
)
def test_a_ratio_that_rounding_undoes_is_refused(units, options, named):
    scores = np.random.default_rng(0).random((2, max(units)))
    with pytest.raises(eb.InputError, match=named):
        eb.mask_at_ratio(scores, 0.25, **options)


COUNTS = st.lists(st.integers(1, 40), min_size=1, max_size=4)
OPTIONS = st.fixed_dictionaries(
    {"scope": st.sampled_from(["layer", "global"]), "uniform": st.booleans(), "round_to": st.integers(1, 40)}
)
RATIO = st.floats(0.01, 0.98)


@given(units=COUNTS, options=OPTIONS, ratio=RATIO, seed=st.integers(0, 99))
def test_what_is_not_refused_prunes_something(units, options, ratio, seed):
    assume(max(units) > 1 and options["round_to"] > 1)
    scores = np.random.default_rng(seed).random((len(units), max(units)))
    try:
        kept = eb.mask_at_ratio(scores, ratio, units=units, **options)
    except eb.InputError:
        reject()
    assert kept.sum() < sum(units)


@given(
    blocks=st.integers(1, 4),
    multiples=st.integers(2, 20),
    round_to=st.integers(2, 20),
    scope=st.sampled_from(["layer", "global"]),
    uniform=st.booleans(),
)
def test_the_ratio_named_is_the_nearest_that_prunes(blocks, multiples, round_to, scope, uniform):
    units = [multiples * round_to] * blocks

    def rule(ratio):
        return MaskRule(ratio, scope, units, uniform, round_to=round_to)

    try:
        rule(0.001)
        reject()
    except eb.InputError as error:
        named = float(re.search(r"prunes something is (0\.\d+)$", str(error))[1])
    rule(named)
    with pytest.raises(eb.InputError, match="prunes nothing"):
        rule(named - 0.001)


def test_units_that_are_alone_in_their_blocks_stay():
    assert eb.mask_at_ratio(np.ones((2, 1)), 0.5).all()
