"""How few digits of a series a plot carries."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from earlybird.report.page.plots.plot import rounded


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_no_value_moves_by_more_than_a_two_thousandth_of_the_range(values: list[float]) -> None:
    written = np.array(rounded(np.array(values)), dtype=float)
    assert np.abs(written - values).max() <= np.ptp(values) / 2000 + 1e-6 * np.abs(values).max()


def test_small_values_keep_three_digits_and_gaps_stay_gaps() -> None:
    assert rounded(np.array([1234.5678, 0.000123456, np.nan, -np.inf, 0.0])) == [1234.6, 0.000123, None, None, 0.0]
    assert rounded(np.array([0.9998765, 0.9998765])) == [0.9998765, 0.9998765]
    assert rounded(np.array([0.99987654, 0.99912345])) == [0.9998765, 0.9991235]
