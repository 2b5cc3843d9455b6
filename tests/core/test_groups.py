"""Masks of heads that share keys and values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import earlybird as eb
from earlybird.criteria.captured import captured_by
from earlybird.masks.counts import pruned_count
from earlybird.masks.rule import MaskRule


@given(
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(1, 3),
    st.floats(0, 0.99),
    st.sampled_from([None, "whole", "within"]),
    st.sampled_from(["layer", "global"]),
    st.integers(0, 99),
)
def test_every_group_keeps_equally_many_heads_or_none(groups, size, layers, ratio, how, scope, seed):
    assume(not (ratio and how == "whole" and groups == 1 < size))  # which prunes nothing, and is refused
    scores = np.random.default_rng(seed).random((layers, groups * size)).round(1)
    mask = eb.mask_at_ratio(
        scores, ratio, scope, units=[groups * size] * layers, key_value_groups=[groups] * layers, kv_groups=how
    )
    per_group = mask.reshape(layers, groups, size).sum(-1)
    for row in per_group:
        assert len(set(row[row > 0])) == 1
    whole = size == 1 or how == "whole" or (how is None and groups >= 4)
    if whole:
        assert set(per_group.flatten()) <= {0, size}
    else:
        assert (per_group == per_group[:, :1]).all()
    if scope == "layer":
        slots, step = (groups, size) if whole else (size, groups)
        assert (mask.sum(-1) == step * max(1, slots - pruned_count(ratio, slots))).all()


def test_whole_groups_go_by_their_mean_and_within_groups_the_weakest_heads():
    scores = np.array([[9.0, 1.0, 4.0, 4.5]])
    shared = {"units": [4], "key_value_groups": [2]}
    assert eb.mask_at_ratio(scores, 0.5, kv_groups="whole", **shared).tolist() == [[True, True, False, False]]
    assert eb.mask_at_ratio(scores, 0.5, kv_groups="within", **shared).tolist() == [[True, False, False, True]]


def test_one_group_still_loses_heads_by_default():
    scores = np.arange(8.0)[None]
    mask = eb.mask_at_ratio(scores, 0.5, units=[8], key_value_groups=[1])
    assert mask.tolist() == [[False] * 4 + [True] * 4]


def test_the_best_mask_of_groups_captures_all_there_is():
    scores = np.random.default_rng(0).random((3, 8))
    rule = MaskRule(0.5, "layer", (8, 8, 8), groups=(2, 2, 2))
    assert captured_by(rule, rule.masks(scores), scores) == pytest.approx(1)


def test_groups_that_do_not_divide_the_heads_are_refused():
    with pytest.raises(eb.InputError, match=r"\[3\] groups do not divide blocks of \[8\] units"):
        eb.mask_at_ratio(np.ones((1, 8)), 0.5, key_value_groups=[3])
    with pytest.raises(eb.InputError, match="'half'"):
        eb.mask_at_ratio(np.ones((1, 8)), 0.5, key_value_groups=[4], kv_groups="half")


@pytest.mark.parametrize(("units", "groups"), [(8, 1), (8, 2), (8, 4), (8, 8)])
def test_a_shuffled_ticket_keeps_the_shape_of_its_groups(units, groups):
    random = np.random.default_rng(0)
    mask = eb.mask_at_ratio(random.random((3, units)), 0.4, key_value_groups=(groups,) * 3, units=(units,) * 3)
    ticket = eb.Ticket({"heads": mask}, {"heads": (units,) * 3}, {"heads": ("a", "b", "c")})
    shuffled = [ticket.shuffled(seed, (groups,) * 3).masks["heads"] for seed in range(20)]
    for other in shuffled:
        for before, after in zip(mask, other, strict=True):
            kept = [sorted(m.reshape(groups, -1).sum(1).tolist()) for m in (before, after)]
            assert kept[0] == kept[1]
    assert len({other.tobytes() for other in shuffled}) > 5
