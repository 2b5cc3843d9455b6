"""Masks against the definitions: counts, order among equals, scopes, padding, ties at the threshold."""

import math

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from earlybird import PruningConfig
from earlybird.criteria import captured
from earlybird.errors import InputError
from earlybird.masks import MaskRule, mask_at_ratio
from earlybird.masks.counts import pruned_count, rounded_count

RATIOS = st.floats(0, 1, exclude_max=True, allow_subnormal=False)
# Few distinct values, so that ties are the rule.
TIED = st.integers(-2, 2).map(float)
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7)
TIED_SCORES = SHAPES.flatmap(lambda shape: hnp.arrays(np.float64, shape, elements=TIED))


def distinct(shape, seed=0):
    """Scores without a tie."""
    values = np.random.default_rng(seed).permutation(math.prod(shape)) + 1.0
    return values.reshape(shape)


def rule_for(scores, ratio, scope="layer", *, units=None, uniform=False):
    layers, width = np.shape(scores)[-2:]
    return MaskRule(ratio, scope, [width] * layers if units is None else units, uniform)


def threshold_is_tied(scores, ratio, scope="layer", **others):
    return rule_for(scores, ratio, scope, **others).masks_and_ties(scores)[1]


def kept_by_minimum(scores, ratio, scope="layer", *, units=None):
    """Of each block, whether it keeps a unit only because none may lose its last one."""
    blocks = rule_for(scores, ratio, scope, units=units).kept_by_minimum(np.asarray(scores))
    return np.isin(np.arange(len(scores)), blocks)


def without_smallest(row, pruned):
    """Reference: the first `pruned` of a stable order of one row go."""
    kept = np.ones(len(row), dtype=bool)
    kept[np.argsort(row, kind="stable")[:pruned]] = False
    return kept


def reference(scores, ratio, scope, units):
    """Mask of (layers, units) scores, one unit after the other, blocks of different width allowed."""
    rows = [row[:count] for row, count in zip(scores, units, strict=True)]
    if scope == "layer":
        kept = [without_smallest(row, pruned_count(ratio, len(row))) for row in rows]
    else:
        flat = np.concatenate(rows)
        kept = np.split(without_smallest(flat, pruned_count(ratio, len(flat))), np.cumsum(units)[:-1])
    mask = np.zeros(np.shape(scores), dtype=bool)
    for block, (row, keep) in enumerate(zip(rows, kept, strict=True)):
        mask[block, : len(row)] = keep
        if len(row) and not keep.any():
            mask[block, int(np.argmax(row))] = True
    return mask


@st.composite
def ragged(draw):
    """Scores with ties, padded with anything at all, and the units of each block."""
    scores = draw(TIED_SCORES)
    units = [draw(st.integers(1, scores.shape[1])) for _ in scores]
    for row, count in zip(scores, units, strict=True):
        row[count:] = draw(st.sampled_from([0.0, -9.0, 9.0, np.nan, np.inf, -np.inf]))
    return scores, units


@pytest.mark.parametrize(
    ("ratio", "units", "kept"),
    [(0, 12, 12), (0.5, 12, 6), (0.8, 12, 3), (0.3, 12, 8), (0.99, 12, 1), (0.4, 1, 0)],
)
def test_kept_count(ratio, units, kept):
    assert units - pruned_count(ratio, units) == kept


@pytest.mark.parametrize(("ratio", "kept"), [(0, 12), (0.5, 6), (0.8, 3), (0.3, 8)])
@pytest.mark.parametrize("scores", [distinct((3, 12)), np.ones((3, 12)), np.arange(36).reshape(3, 12) % 2])
def test_the_mask_keeps_so_many_with_or_without_ties(ratio, kept, scores):
    assert mask_at_ratio(scores, ratio).sum(-1).tolist() == [kept] * 3
    pruned = pruned_count(ratio, 36)
    assert mask_at_ratio(scores, ratio, "global").sum() == 36 - pruned + kept_by_minimum(scores, ratio, "global").sum()


@given(TIED_SCORES, RATIOS)
def test_kept_count_is_the_formula_for_any_scores(scores, ratio):
    layers, units = scores.shape
    expected = units if ratio == 0 else max(1, units - math.floor(ratio * (units - 1)) - 1)
    assert mask_at_ratio(scores, ratio).sum(-1).tolist() == [expected] * layers


@settings(max_examples=200)
@given(st.integers(2, 60), st.integers(1, 999), st.integers(0, 2**32 - 1))
def test_equals_the_published_quantile_rule_without_ties(units, per_mille, seed):
    ratio = per_mille / 1000
    if per_mille * (units - 1) % 1000 == 0:
        ratio = (per_mille + 0.5) / 1000  # the quantile is then one of the scores only up to rounding
    coefficients = np.random.default_rng(seed).normal(1, 0.1, (2, units))
    magnitude = np.abs(coefficients)
    kept = mask_at_ratio(magnitude, ratio)
    published = magnitude > np.quantile(magnitude, ratio, axis=-1, keepdims=True)
    # The published rule keeps at least one too: the largest lies above every quantile below 1.
    np.testing.assert_array_equal(kept, published)


@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.8])
def test_equals_the_published_quantile_rule_over_all_blocks(ratio):
    magnitude = np.abs(np.random.default_rng(1).normal(1, 0.1, (4, 300)))
    np.testing.assert_array_equal(mask_at_ratio(magnitude, ratio, "global"), magnitude > np.quantile(magnitude, ratio))


@settings(max_examples=200)
@given(TIED_SCORES, RATIOS, st.sampled_from(["layer", "global"]))
def test_among_equals_the_earlier_position_goes_first(scores, ratio, scope):
    expected = reference(scores, ratio, scope, [scores.shape[1]] * len(scores))
    np.testing.assert_array_equal(mask_at_ratio(scores, ratio, scope), expected)


def test_equal_scores_keep_the_last_positions():
    assert mask_at_ratio(np.ones((1, 6)), 0.5).tolist() == [[False] * 3 + [True] * 3]


def test_global_scope_compares_units_of_all_blocks():
    scores = [[1.0, 2.0, 9.0], [7.0, 8.0, 3.0]]
    assert mask_at_ratio(scores, 0.4, "global").tolist() == [[False, False, True], [True, True, False]]


@given(seed=st.integers(0, 99), ratio=st.floats(0.5, 0.99), round_to=st.sampled_from([1, 4]))
def test_with_whole_blocks_the_global_count_is_exact(seed, ratio, round_to):
    scores = np.random.default_rng(seed).random((4, 16)) * [[1.0], [1e-3], [1.0], [1e-6]]
    mask = mask_at_ratio(scores, ratio, "global", whole_blocks=True, round_to=round_to)
    spared = mask_at_ratio(scores, ratio, "global", round_to=round_to)
    assert not mask[3].any()
    assert spared.any(-1).all()
    if round_to == 1:
        assert mask.sum() == 64 - pruned_count(ratio, 64)
        assert (mask <= spared).all()
    else:
        assert (mask.sum(-1) % round_to == 0).all()


def test_whole_groups_of_keys_and_values_may_go_with_their_block():
    scores = np.array([[5.0, 5.0, 6.0, 6.0], [1.0, 1.0, 2.0, 2.0]])
    settings = {"key_value_groups": [2, 2], "kv_groups": "whole"}
    assert mask_at_ratio(scores, 0.5, "global", whole_blocks=True, **settings).sum(-1).tolist() == [4, 0]
    assert mask_at_ratio(scores, 0.5, "global", **settings).sum(-1).tolist() == [4, 2]


def test_captured_judges_masks_that_lose_a_block_by_a_reference_that_may_lose_one():
    scores = np.array([[5.0, 6.0], [1.0, 2.0]])
    mask = mask_at_ratio(scores, 0.5, "global", whole_blocks=True)
    assert captured(mask, scores, 0.5, "global", whole_blocks=True) == 1.0
    assert captured(mask, scores, 0.5, "global") > 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": 0.3, "whole_blocks": True}, 'a threshold in each layer empties none: .* give heads_scope="global"'),
        ({"flops": 0.5, "whole_blocks": True, "uniform": True}, "so that none goes whole"),
        ({"flops": 0.5, "whole_blocks": 1}, "whole_blocks must be True or False, got 1"),
    ],
)
def test_whole_blocks_that_cannot_be_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        PruningConfig(**settings)


def test_a_block_never_loses_its_last_unit():
    scores = np.array([[1.0, 3.0, 2.0], [10.0, 11.0, 12.0]])
    mask = mask_at_ratio(scores, 0.5, "global")
    assert mask.tolist() == [[False, True, False], [True, True, True]]
    assert kept_by_minimum(scores, 0.5, "global").tolist() == [True, False]
    assert kept_by_minimum(scores, 0.5, "layer").tolist() == [False, False]


def test_a_block_of_one_unit_keeps_it_and_says_so():
    scores = np.array([[5.0, 0.0], [1.0, 2.0]])
    assert mask_at_ratio(scores, 0.3, units=[1, 2]).tolist() == [[True, False], [False, True]]
    assert kept_by_minimum(scores, 0.3, units=[1, 2]).tolist() == [True, False]
    assert kept_by_minimum(scores, 0, units=[1, 2]).tolist() == [False, False]


@settings(max_examples=200)
@given(ragged(), RATIOS, st.sampled_from(["layer", "global"]))
def test_padding_is_never_kept_counted_or_ranked(case, ratio, scope):
    scores, units = case
    expected = reference(scores, ratio, scope, units)
    np.testing.assert_array_equal(mask_at_ratio(scores, ratio, scope, units=units), expected)


@given(ragged(), RATIOS)
def test_rescued_blocks_are_those_that_the_threshold_would_empty(case, ratio):
    scores, units = case
    flat = np.concatenate([row[:count] for row, count in zip(scores, units, strict=True)])
    kept = np.split(without_smallest(flat, pruned_count(ratio, len(flat))), np.cumsum(units)[:-1])
    expected = [not keep.any() for keep in kept]
    assert kept_by_minimum(scores, ratio, "global", units=units).tolist() == expected


@given(ragged(), RATIOS)
def test_uniform_keeps_the_same_number_in_every_block(case, ratio):
    scores, units = case
    mask = mask_at_ratio(scores, ratio, "global", units=units, uniform=True)
    smallest = min(units)
    kept = max(1, smallest - pruned_count(ratio, smallest))
    assert mask.sum(-1).tolist() == [kept] * len(units)
    for row, keep, count in zip(scores, mask, units, strict=True):
        np.testing.assert_array_equal(keep[:count], without_smallest(row[:count], count - kept))
        assert not keep[count:].any()


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("units", [None, [3, 5, 1]])
def test_a_batch_equals_one_by_one(scope, units):
    scores = np.random.default_rng(2).integers(0, 4, (2, 6, 3, 5)).astype(np.float32)
    together = mask_at_ratio(scores, 0.6, scope, units=units)
    tied = threshold_is_tied(scores, 0.6, scope, units=units)
    assert tied.shape == (2, 6)
    for index in np.ndindex(2, 6):
        np.testing.assert_array_equal(together[index], mask_at_ratio(scores[index], 0.6, scope, units=units))
        assert tied[index] == threshold_is_tied(scores[index], 0.6, scope, units=units)
    assert mask_at_ratio(scores[:, :0], 0.6, scope, units=units).shape == (2, 0, 3, 5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_named(value):
    scores = np.ones((3, 4))
    scores[1, 2] = value
    with pytest.raises(InputError, match=rf"finite, got {value}.*layer 1, unit 2"):
        mask_at_ratio(scores, 0.5)


def test_a_score_that_is_not_finite_is_named_with_its_step():
    scores = np.ones((5, 3, 4))
    scores[3, 0, 1] = np.nan
    with pytest.raises(InputError, match=r"step 3.*layer 0, unit 1"):
        mask_at_ratio(scores, 0.5)


@pytest.mark.parametrize("ratio", [-0.1, 1, 1.0, 1.5, float("nan"), float("inf"), -float("inf"), "0.3", None, True])
@pytest.mark.parametrize("arguments", [{}, {"scope": "global"}, {"uniform": True}])
def test_a_ratio_outside_its_bounds_is_named(ratio, arguments):
    with pytest.raises(InputError, match=rf"\[0, 1\), got {ratio!r}"):
        mask_at_ratio(np.ones((2, 3)), ratio, **arguments)


@pytest.mark.parametrize(
    ("scores", "arguments", "named"),
    [
        (np.ones((2, 3)), {"scope": "block"}, "'block'"),
        (np.ones(3), {}, r"\(3,\)"),
        (np.ones((2, 3)), {"units": [3]}, r"\[3\]"),
        (np.ones((2, 3)), {"units": [3, 4]}, "4"),
        (np.ones((2, 3)), {"units": [-1, 3]}, "-1"),
    ],
)
def test_wrong_arguments_are_named(scores, arguments, named):
    with pytest.raises(InputError, match=named):
        mask_at_ratio(scores, 0.5, **arguments)


def tied_by_definition(row, ratio):
    """Reference: does the boundary in a sorted row lie within a group of equals that is large enough?"""
    ordered, pruned = np.sort(row), pruned_count(ratio, len(row))
    if not 0 < pruned < len(row) or ordered[pruned - 1] != ordered[pruned]:
        return False
    equal = int((ordered == ordered[pruned]).sum())
    return equal > 2 and equal > 0.05 * len(row)


@settings(max_examples=200)
@given(ragged(), RATIOS, st.sampled_from(["layer", "global"]))
def test_threshold_is_tied_by_its_definition(case, ratio, scope):
    scores, units = case
    rows = [row[:count] for row, count in zip(scores, units, strict=True)]
    scopes = rows if scope == "layer" else [np.concatenate(rows)]
    expected = any(tied_by_definition(row, ratio) for row in scopes)
    assert bool(threshold_is_tied(scores, ratio, scope, units=units)) is expected


@pytest.mark.parametrize(
    ("equal", "tied"), [(2, False), (5, False), (6, True), (50, True)], ids="{0} of 100 equal".format
)
def test_more_than_a_twentieth_of_the_scope_must_be_equal(equal, tied):
    row = np.arange(100.0)
    row[50 - equal // 2 : 50 - equal // 2 + equal] = 50.0
    assert bool(threshold_is_tied(row[None], 0.5)) is tied


def test_equal_scores_away_from_the_threshold_are_evidence():
    row = np.array([0.0] * 4 + [1.0, 2.0, 3.0] + [4.0] * 4)
    assert pruned_count(0.5, 11) == 6
    assert not threshold_is_tied(row[None], 0.5)
    # The boundary right behind the equals: all of them go, none is an accident.
    assert pruned_count(0.39, 11) == 4
    assert not threshold_is_tied(row[None], 0.39)
    assert threshold_is_tied(row[None], 0.2)


def test_no_evidence_at_the_start_and_after_one_optimizer_step():
    units = 600
    assert threshold_is_tied(np.ones((2, units)), 0.4)
    # One AdamW step moves every coefficient by the learning rate up or down, a few by less.
    signs = np.random.default_rng(3).choice([-1.0, 1.0], (2, units), p=[0.7, 0.3])
    moved = 1 + np.float32(1e-4) * signs.astype(np.float32)
    moved[:, :10] += np.linspace(0, 1e-5, 10, dtype=np.float32)
    assert threshold_is_tied(moved, 0.4)
    assert threshold_is_tied(moved, 0.4, "global")
    spread = moved + np.random.default_rng(4).normal(0, 1e-5, moved.shape)
    assert not threshold_is_tied(spread, 0.4)


def test_a_uniform_mask_is_judged_at_its_own_thresholds():
    # At ratio 0.5 the narrow block keeps 2 of 4, so the wide one keeps 2 of 8, where its scores are equal.
    scores = np.zeros((2, 8))
    scores[0, :4] = [1, 2, 3, 4]
    scores[1] = [1, 2, 3, 4, 5, 6, 6, 6]
    assert threshold_is_tied(scores, 0.5, units=[4, 8], uniform=True)
    assert not threshold_is_tied(scores, 0.5, units=[4, 8])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.lists(st.integers(1, 40), min_size=1))
def test_a_rounded_count_is_the_nearest_valid(kept, units, round_to, valid_counts):
    kept = min(kept, units)
    multiples = [n for n in range(1, units + 1) if n % round_to == 0]
    found = rounded_count(kept, units, round_to)
    assert found == units if not multiples else abs(found - kept) == min(abs(n - kept) for n in multiples)
    assert not multiples or found in multiples
    possible = [n for n in valid_counts if n <= units]
    if possible:
        found = rounded_count(kept, units, valid_counts=valid_counts)
        assert found in possible
        assert abs(found - kept) == min(abs(n - kept) for n in possible)
        # Of two as near the larger.
        assert found >= kept or 2 * kept - found not in possible


@given(SHAPES, st.integers(0, 99), RATIOS, st.sampled_from(["layer", "global"]), st.integers(1, 4), st.booleans())
def test_rounding_changes_counts_and_nothing_of_the_order(shape, seed, ratio, scope, round_to, uniform):
    scores = distinct(shape, seed)
    plain = mask_at_ratio(scores, ratio, scope, uniform=uniform)
    try:
        rounded = mask_at_ratio(scores, ratio, scope, uniform=uniform, round_to=round_to)
    except InputError:  # what may prune nothing is refused
        reject()
    stepwise = mask_at_ratio(np.stack([scores, -scores]), ratio, scope, uniform=uniform, round_to=round_to)[0]
    np.testing.assert_array_equal(stepwise, rounded)
    for row, before, after in zip(scores, plain, rounded, strict=True):
        count = before.sum() if ratio == 0 else rounded_count(int(before.sum()), len(row), round_to)
        np.testing.assert_array_equal(after, without_smallest(row, len(row) - count))


def test_a_uniform_mask_keeps_a_valid_count():
    scores = distinct((3, 12))
    assert mask_at_ratio(scores, 0.4, uniform=True, valid_counts=(1, 2, 4, 8)).sum(-1).tolist() == [8, 8, 8]
    assert mask_at_ratio(scores, 0.0, uniform=True, valid_counts=(1, 2, 4, 8)).all()


@pytest.mark.parametrize("round_to", [0, -8, 2.0, True])
def test_round_to_is_a_whole_number(round_to):
    with pytest.raises(InputError, match="round_to must be a whole number of at least 1"):
        mask_at_ratio(distinct((2, 8)), 0.5, round_to=round_to)
