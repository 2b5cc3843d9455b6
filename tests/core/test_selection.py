"""The threshold of a row, whatever came before: against a sorted row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earlybird.masks.selection import SuccessiveSplit, split


def by_sorting(rows, pruned):
    ordered = np.sort(rows, axis=-1)
    threshold = ordered[..., pruned - 1]
    return rows > threshold[..., None], threshold, ordered[..., pruned]


@pytest.mark.parametrize("shape", [(9,), (4, 9), (2, 3, 9), (0, 9)])
@pytest.mark.parametrize("pruned", [1, 4, 8])
def test_a_split_is_that_of_sorted_rows(shape, pruned):
    rows = np.random.default_rng(0).integers(0, 5, shape).astype(np.float32)
    for found, expected in zip(split(rows, pruned), by_sorting(rows, pruned), strict=True):
        np.testing.assert_array_equal(found, expected)


@st.composite
def successive_rows(draw):
    """A run of rows that walk, stand still, jump, tie and change their size, and how many units go."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.sampled_from([2, 3, 10, 600, 5000]))
    moves = draw(st.lists(st.sampled_from(["walk", "drift", "rest", "jump", "tie", "equal", "order"]), max_size=12))
    row = random.normal(1, 0.01, n)
    rows = []
    for move in moves:
        if move == "walk":
            row = row + random.normal(0, 1e-4, n)
        elif move == "drift":
            row = row + 1e-4
        elif move == "jump":
            row = random.normal(0, 10.0 ** random.integers(-5, 5), n)
        elif move == "tie":
            row = np.round(row, 2)
        elif move == "equal":
            row = np.full(n, row[0])
        elif move == "order":
            row = np.sort(row)
        rows.append(row)
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return np.array(rows, dtype=dtype).reshape(-1, n), draw(st.integers(1, n - 1))


@given(successive_rows(), st.integers(1, 5))
def test_a_split_depends_on_the_row_alone(case, chunk):
    rows, pruned = case
    split_at = SuccessiveSplit()
    for start in range(0, len(rows), chunk):
        here = rows[start : start + chunk]
        for found, expected in zip(split_at(here, pruned), by_sorting(here, pruned), strict=True):
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == expected.dtype
