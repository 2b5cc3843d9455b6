"""Criteria over the steps against their definitions, whatever the chunks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earlybird import DetectorConfig, SearchConfig
from earlybird.criteria import captured, effective_rank, hamming_distance, nuclear_norm, overlap
from earlybird.detectors.base import Detector
from earlybird.detectors.criterion import Criterion, has_lag
from earlybird.detectors.expression import detector_factory
from earlybird.detectors.observer import Observer
from earlybird.detectors.offline import detect
from earlybird.detectors.scores import Scores
from earlybird.detectors.series import series_of
from earlybird.errors import InputError
from earlybird.masks.rule import MaskRule
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import CRITERIA

# Blocks of different width: what is padding must not count.
PRUNING = MaskRule(0.5, "global", (3, 6))


def run(steps, seed=0):
    random = np.random.default_rng(seed)
    scores = np.abs(1 + random.normal(0, 0.1, (steps, 2, 6)).cumsum(0))
    scores[:, 0, 3:] = 1.0  # as a coefficient that is not there reads
    return scores, PRUNING.masks(scores)


def by_definition(criterion, scores, masks, step):
    if criterion.name == "nuclear-norm":
        return nuclear_norm(masks[step])
    if criterion.name == "effective-rank":
        return effective_rank(masks[step])
    if criterion.name == "score-nuclear-norm":
        real = scores[step].copy()
        real[0, 3:] = 0
        return nuclear_norm(real)
    if criterion.name == "ema-overlap":
        if step == 0:
            return np.nan
        ages = np.arange(step)[::-1]
        weights = (1 / criterion.lag) * (1 - 1 / criterion.lag) ** ages
        weights[0] = (1 - 1 / criterion.lag) ** ages[0]  # all that is left goes to the first mask
        return weights @ [overlap(masks[earlier], masks[step]) for earlier in range(step)]
    if step < criterion.lag:
        return np.nan
    earlier = masks[step - criterion.lag]
    if criterion.name == "hamming":
        return hamming_distance(masks[step], earlier, units=PRUNING.units)
    if criterion.name == "overlap":
        return overlap(masks[step], earlier)
    return captured(earlier, scores[step], 0.5, "global", units=PRUNING.units)


@pytest.mark.parametrize("name", CRITERIA)
@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.lists(st.integers(0, 20), min_size=1, max_size=8))
def test_every_criterion_is_its_definition_whatever_the_chunks(name, seed, lag, lengths):
    criterion = Criterion(name, lag if has_lag(name) else 0)
    scores, masks = run(sum(lengths), seed)
    series = series_of(criterion, PRUNING)
    ends = np.cumsum(lengths)
    parts = [
        series.update(Scores(scores[end - length : end]), masks[end - length : end])
        for end, length in zip(ends, lengths, strict=True)
    ]
    values = np.concatenate(parts)
    expected = [by_definition(criterion, scores, masks, step) for step in range(len(masks))]
    np.testing.assert_allclose(values, np.array(expected, dtype=float), rtol=1e-9, atol=1e-12)
    assert np.isnan(values).sum() == min(criterion.missing, len(values))
    whole = series_of(criterion, PRUNING).update(Scores(scores), masks)
    np.testing.assert_array_equal(values, whole)


def test_nothing_is_computed_that_no_detector_reads():
    scores, _ = run(5)
    assert [o.values for o in Observer("heads", PRUNING).observations(Scores(scores))] == [{}] * 5
    wanted = Criterion("overlap", 2)
    assert [set(o.values) for o in Observer("heads", PRUNING, [wanted]).observations(Scores(scores))] == [{wanted}] * 5


def built(name, **chosen) -> Detector:
    return detector_factory(DetectorConfig(detector=name, **chosen)).build(
        "heads", MaskRule(0.5, "layer", (4, 4)), "coefficient", 1000, None
    )


def test_windows_wait_for_the_criterion():
    assert built("ols", smoothing=1, window=20, every=1).first_check == 20
    assert built("ols", smoothing=1, window=20, every=1, criterion="overlap", lag=30).first_check == 50
    assert built("ols", smoothing=1, window=20, every=1, criterion="captured").criteria == (Criterion("captured", 50),)
    assert built("ols", smoothing=1, window=20, every=1, criterion="ema-overlap", lag=9).first_check == 21


def test_a_lag_without_meaning_is_refused():
    with pytest.raises(InputError, match="no setting 'lag'"):
        built("ols", lag=10)
    with pytest.raises(InputError, match="no setting 'lag'"):
        built("ols", lag=10, criterion="effective-rank")
    with pytest.raises(InputError, match="no setting 'criterion'"):
        built("hamming", criterion="overlap")


@pytest.mark.parametrize(("name", "near"), [("nuclear_norm", "nuclear-norm"), ("overlapp", "overlap")])
def test_an_unknown_criterion_is_told_the_nearest_name(name, near):
    trajectory = Trajectory.from_arrays(heads=np.ones((90, 2, 4)))
    with pytest.raises(InputError, match=f"criterion must be one of .*got '{name}'; did you mean '{near}'"):
        detect(trajectory, SearchConfig(heads=0.5, criterion=name))


def test_a_criterion_like_no_other_is_told_all_of_them():
    with pytest.raises(InputError) as error:
        DetectorConfig(criterion="zzz")
    assert all(name in str(error.value) for name in CRITERIA)
