"""A ratio above 0 prunes something whatever the scores, or is refused with the nearest ratio that does."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import event, given, reject
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
        ([64, 64], {"round_to": 64}, "ratio 0.25 prunes nothing.*multiple of 64.*no ratio prunes"),
        ([100, 100], {"round_to": 128}, "ratio 0.25 prunes nothing.*multiple of 128.*no ratio prunes"),
        ([128, 128], {"round_to": 64}, "ratio 0.25 prunes nothing.*multiple of 64.* prunes something is 0.252$"),
        ([128, 128], {"round_to": 64, "scope": "global"}, "ratio 0.25 may prune nothing.* prunes something is 0.251$"),
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


def spreads(units):
    """Scores by which a threshold over all blocks falls as differently as can be."""
    position = np.arange(max(units), dtype=float)[None].repeat(len(units), 0)
    yield position / np.asarray(units)[:, None]  # evenly over all blocks
    for lowest in range(len(units)):
        yield position + 100.0 * (np.arange(len(units)) != lowest)[:, None]  # one block first
    yield position + 1000.0 * np.asarray(units)[:, None]  # the narrowest blocks first


@given(units=COUNTS, options=OPTIONS, ratio=st.floats(0.001, 0.98))
def test_what_a_config_may_ask_for_prunes_something_whatever_the_scores(units, options, ratio):
    try:
        rule = MaskRule(ratio, units=units, **options)
        rule.refuse_to_prune_nothing()
    except eb.InputError:
        reject()
    for scores in spreads(units):
        assert rule.masks(scores).sum() < sum(units)


@given(
    groups=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    size=st.integers(2, 4),
    ratio=st.floats(0.001, 0.98),
    scope=st.sampled_from(["layer", "global"]),
    how=st.sampled_from([None, "whole", "within"]),
)
def test_so_does_what_heads_in_groups_are_asked_for(groups, size, ratio, scope, how):
    units = [count * size for count in groups]
    try:
        rule = MaskRule(ratio, scope, units, groups=groups, kv_groups=how)
    except eb.InputError:
        reject()
    for scores in spreads(units):
        assert rule.masks(scores).sum() < sum(units)


@st.composite
def too_little(draw):
    """Blocks, options and a ratio that rounding to multiples or to whole units may well undo."""
    units = draw(COUNTS)
    options = {
        "scope": draw(st.sampled_from(["layer", "global"])),
        "uniform": draw(st.booleans()),
        "round_to": draw(st.integers(1, max(units) + 1)),
    }
    return units, options, draw(st.floats(0.001, min(1.5 / max(units), 0.98)))


@given(too_little())
def test_what_is_refused_may_prune_nothing(asked):
    units, options, ratio = asked
    rule = MaskRule(0.0, units=units, **options)
    object.__setattr__(rule, "ratio", ratio)
    try:
        rule.refuse_to_prune_nothing()
    except eb.InputError:
        left = [units_left(rule, scores) for scores in spreads(units)]
        assert sum(units) in left
        event("refused")
    else:
        event("accepted")


def units_left(rule, scores):
    return int(rule.masks(scores).sum())


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
    with pytest.raises(eb.InputError, match=r"prunes? nothing"):
        rule(named - 0.001)


def test_a_mask_of_units_that_are_alone_in_their_blocks_keeps_them():
    assert eb.mask_at_ratio(np.ones((2, 1)), 0.5).all()
