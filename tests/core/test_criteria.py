"""Criteria against numpy's singular values, against counting, and against enumeration."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from earlybird.criteria import (
    captured,
    effective_rank,
    hamming_distance,
    nuclear_norm,
    overlap,
    singular_values,
)
from earlybird.criteria.singular_values import common_units
from earlybird.masks.at_ratio import mask_at_ratio

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))


def by_singular_values(masks):
    return np.linalg.svd(np.asarray(masks, dtype=np.float64), compute_uv=False).sum(-1)


def special_masks():
    random = np.random.default_rng(0).random
    base = random((12, 40)) < 0.5
    yield "wide", base
    yield "tall", base.T
    yield "square", random((9, 9)) < 0.3
    yield "duplicated rows", base[[0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 3, 3]]
    yield "complementary rows", np.concatenate([base[:4], ~base[:4], np.ones((1, 40), dtype=bool)])
    yield "empty rows", base & (np.arange(12) % 3 > 0)[:, None]
    yield "rank one", np.ones((12, 40), dtype=bool)
    yield "nothing kept", np.zeros((4, 6), dtype=bool)
    yield "one unit", np.ones((1, 1), dtype=bool)
    yield "identity", np.eye(7, dtype=bool)
    yield "a Transformer's", random((12, 3072)) < 0.6


@pytest.mark.parametrize("mask", [pytest.param(mask, id=name) for name, mask in special_masks()])
def test_nuclear_norm_equals_the_sum_of_singular_values(mask):
    assert nuclear_norm(mask) == pytest.approx(by_singular_values(mask), rel=1e-9, abs=1e-12)


@settings(max_examples=150)
@given(MASKS, st.data())
def test_nuclear_norm_of_any_mask(mask, data):
    repeated = mask[data.draw(st.lists(st.integers(0, len(mask) - 1), min_size=1, max_size=12))]
    for rows in (mask, repeated, repeated.T):
        assert nuclear_norm(rows) == pytest.approx(by_singular_values(rows), rel=1e-9, abs=1e-9)


@given(MASKS, st.integers(1, 20), st.randoms())
def test_nuclear_norm_ignores_zero_columns_and_order(mask, columns, random):
    padded = np.pad(mask, ((0, 0), (0, columns)))
    shuffled = mask[random.sample(range(len(mask)), len(mask))]
    shuffled = shuffled[:, random.sample(range(mask.shape[1]), mask.shape[1])]
    for same in (padded, shuffled):
        assert nuclear_norm(same) == pytest.approx(nuclear_norm(mask), rel=1e-9, abs=1e-12)


def test_nuclear_norm_of_a_batch_equals_one_by_one():
    masks = np.random.default_rng(1).random((2, 5, 4, 11)) < 0.5
    norms = nuclear_norm(masks)
    assert norms.shape == (2, 5)
    assert norms.dtype == np.float64
    for index in np.ndindex(2, 5):
        assert norms[index] == nuclear_norm(masks[index])
    np.testing.assert_allclose(norms, by_singular_values(masks), rtol=1e-9)
    assert nuclear_norm(masks[:, :0]).shape == (2, 0)


@pytest.mark.parametrize("layers", [8, 12, 16, 33])
def test_nuclear_norm_of_many_layers(layers):
    masks = np.random.default_rng(layers).random((3, layers, 70)) < 0.5
    np.testing.assert_allclose(nuclear_norm(masks), [by_singular_values(mask) for mask in masks], rtol=1e-9)


@pytest.mark.parametrize(("layers", "units"), [(3, 70), (12, 12), (33, 3000), (20, 30_000)])
def test_units_in_common_are_counted_exactly(layers, units):
    masks = np.random.default_rng(layers).random((2, layers, units)) < 0.5
    counts = masks.astype(np.int64)
    np.testing.assert_array_equal(common_units(masks), counts @ counts.swapaxes(-1, -2))


def test_nuclear_norm_by_hand():
    assert nuclear_norm(np.eye(3, dtype=bool)) == pytest.approx(3)
    assert nuclear_norm(np.ones((2, 8), dtype=bool)) == pytest.approx(4)


def test_hamming_distance_is_the_fraction_of_units_that_differ():
    mask = np.zeros((2, 4), dtype=bool)
    other = mask.copy()
    other[0, 1] = other[1, 3] = True
    assert hamming_distance(mask, other) == 0.25
    assert hamming_distance(mask, mask) == 0
    assert hamming_distance(mask, ~mask) == 1
    assert hamming_distance(np.stack([mask, other]), other).tolist() == [0.25, 0]


def test_hamming_distance_does_not_count_padding():
    mask = np.array([[True, False, False, False], [True, True, False, False]])
    other = np.array([[False, True, False, False], [True, True, False, False]])
    assert hamming_distance(mask, other, units=[2, 3]) == 2 / 5


def test_overlap_is_the_share_of_kept_units_kept_in_both():
    mask = np.array([[True, True, True, False], [True, False, False, False]])
    other = np.array([[True, True, False, True], [False, True, False, False]])
    assert overlap(mask, other) == 0.5
    assert overlap(mask, mask) == 1
    assert overlap(np.stack([mask, other]), other).tolist() == [0.5, 1]


def random_scores(shape, seed=2):
    return np.random.default_rng(seed).exponential(size=shape)


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("units", [None, [5, 12, 9]])
def test_captured_is_one_for_the_references_own_mask(scope, ratio, units):
    scores = random_scores((3, 12))
    mask = mask_at_ratio(scores, ratio, scope, units=units)
    assert captured(mask, scores, ratio, scope, units=units) == pytest.approx(1, abs=1e-12)


def test_captured_of_a_uniform_mask():
    scores = random_scores((3, 12))
    units = [5, 12, 9]
    mask = mask_at_ratio(scores, 0.5, "global", units=units, uniform=True)
    assert captured(mask, scores, 0.5, "global", units=units, uniform=True) == pytest.approx(1)


def all_masks(counts, units, width):
    """Every mask that keeps `counts[i]` of the first `units[i]` in row i."""
    masks = [np.zeros((0, width), dtype=bool)]
    for count, total in zip(counts, units, strict=True):
        rows = []
        for kept in combinations(range(total), count):
            row = np.zeros(width, dtype=bool)
            row[list(kept)] = True
            rows.append(row)
        masks = [np.concatenate([mask, row[None]]) for mask in masks for row in rows]
    return np.stack(masks)


@pytest.mark.parametrize("units", [[4, 4], [3, 4]])
def test_captured_is_zero_on_average_over_all_masks_of_a_layer_scope(units):
    scores = random_scores((2, 4)) + 5
    scores[np.arange(4) >= np.array(units)[:, None]] = 0
    best = mask_at_ratio(scores, 0.5, units=units)
    values = captured(all_masks(best.sum(-1), units, 4), scores, 0.5, units=units)
    assert values.mean() == pytest.approx(0, abs=1e-12)
    assert values.max() == pytest.approx(1)
    assert values.min() < 0


@pytest.mark.parametrize("units", [[4, 4], [3, 4]])
def test_captured_is_zero_on_average_over_all_masks_of_a_global_scope(units):
    scores = random_scores((2, 4), seed=5) + 5
    valid = np.arange(4) < np.array(units)[:, None]
    best = mask_at_ratio(scores, 0.4, "global", units=units)
    flat = all_masks([best.sum()], [valid.sum()], valid.sum())[:, 0]
    masks = np.zeros((len(flat), 2, 4), dtype=bool)
    masks[:, valid] = flat
    values = captured(masks, scores, 0.4, "global", units=units)
    assert values.mean() == pytest.approx(0, abs=1e-12)
    assert values.max() == pytest.approx(1)


def test_swapping_two_nearly_equal_units_costs_overlap_but_captures_as_much():
    scores = np.array([[1.0, 2.0, 3.0, 3.0 + 1e-9, 4.0, 5.0]])
    best = mask_at_ratio(scores, 0.4)
    assert best.tolist() == [[False, False, False, True, True, True]]
    swapped = np.array([[False, False, True, False, True, True]])
    assert overlap(swapped, best) == pytest.approx(2 / 3)
    assert captured(swapped, scores, 0.4) == pytest.approx(1, abs=1e-8)


def test_captured_by_hand():
    scores = np.array([[0.0, 1.0, 2.0, 9.0]])
    # Two of four kept: chance gets 6, the best 11, units 1 and 3 get 10, units 0 and 1 get 1.
    masks = np.array([[[False, True, False, True]], [[True, True, False, False]]])
    np.testing.assert_allclose(captured(masks, scores, 0.5), [4 / 5, -1])


@pytest.mark.parametrize("arguments", [{"scope": "layer"}, {"scope": "global"}])
def test_captured_ignores_padding_and_what_stands_there(arguments):
    scores = random_scores((2, 4))
    units = [4, 4]
    masks = np.random.default_rng(6).random((5, 2, 4)) < 0.5
    wide = np.pad(scores, ((0, 0), (0, 3)), constant_values=100.0)
    np.testing.assert_allclose(
        captured(np.pad(masks, ((0, 0), (0, 0), (0, 3))), wide, 0.5, units=units, **arguments),
        captured(masks, scores, 0.5, **arguments),
    )


@given(st.floats(1e-3, 1e3), st.integers(1, 4), st.integers(2, 9), st.sampled_from(["layer", "global"]))
def test_where_the_reference_ranks_nothing_any_mask_is_as_good(value, layers, units, scope):
    masks = mask_at_ratio(np.random.default_rng(7).random((3, layers, units)), 0.4, scope)
    assert captured(masks, np.full((layers, units), value), 0.4, scope).tolist() == [1, 1, 1]


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_a_layer_scope_ranks_nothing_where_each_block_is_constant(first, second):
    scores = np.repeat([[first], [second]], 7, axis=1)
    masks = mask_at_ratio(np.random.default_rng(8).random((3, 2, 7)), 0.4)
    assert captured(masks, scores, 0.4).tolist() == [1, 1, 1]


@given(st.floats(-100, 100), st.floats(1e-2, 1e2))
def test_captured_does_not_depend_on_the_scores_unit_or_origin(shift, scale):
    scores = random_scores((2, 6))
    masks = mask_at_ratio(random_scores((4, 2, 6), seed=9), 0.5)
    np.testing.assert_allclose(
        captured(masks, shift + scale * scores, 0.5), captured(masks, scores, 0.5), rtol=1e-7, atol=1e-7
    )


# Of scores, and effective rank


@given(hnp.arrays(np.float64, (4, 7), elements=st.floats(-5, 5)))
def test_nuclear_norm_of_scores_equals_the_sum_of_singular_values(scores):
    # Small singular values come from the roots of rounding noise beside the largest one.
    assert nuclear_norm(scores) == pytest.approx(by_singular_values(scores), rel=1e-6, abs=1e-6)


def test_singular_values_of_scores_near_one_keep_their_digits():
    scores = 1 + np.random.default_rng(0).normal(0, 1e-3, (12, 3072))
    expected = np.linalg.svd(scores, compute_uv=False)[::-1]
    np.testing.assert_allclose(singular_values(scores), expected, rtol=1e-8)


@given(MASKS)
def test_effective_rank_is_the_exponential_of_the_entropy_and_at_most_the_rank(mask):
    if not mask.any():
        assert effective_rank(mask) == 0
        return
    values = np.linalg.svd(mask.astype(np.float64), compute_uv=False)
    shares = values[values > 1e-9 * values[0]] / values.sum()
    assert effective_rank(mask) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-6)
    assert 1 - 1e-9 <= effective_rank(mask) <= np.linalg.matrix_rank(mask.astype(np.float64)) + 1e-6


def test_effective_rank_of_equal_singular_values_is_their_number():
    assert effective_rank(np.eye(5, 9, dtype=bool)) == pytest.approx(5)
    assert effective_rank(np.ones((5, 9), dtype=bool)) == pytest.approx(1)
