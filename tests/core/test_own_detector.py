"""A detector of the user's own, as an object in the config."""

from __future__ import annotations

import json

import numpy as np
import pytest

import earlybird as eb
from earlybird.detectors import AllOf, Detector, HammingDistance


class Still(Detector):
    """Settled once the mask has not changed for some steps."""

    def __init__(self, steps):
        super().__init__()
        self.steps, self.unchanged, self.last = steps, 0, None

    def check(self, observation):
        same = self.last is not None and bool((observation.mask == self.last).all())
        self.unchanged = self.unchanged + 1 if same else 0
        self.last = observation.mask.copy()
        return float(self.unchanged), self.unchanged >= self.steps


def recording(changes):
    """Four heads, four neurons; the mask changes at each of these steps, the last time at the last of them."""
    heads = np.tile([4.0, 3.0, 2.0, 1.0], (30, 1, 1))
    for step in changes:
        heads[step:] = heads[step:, :, ::-1]
    return eb.Trajectory.from_arrays(heads=heads, neurons=np.tile([4.0, 3.0, 2.0, 1.0], (30, 1, 1)))


@pytest.mark.parametrize(("changes", "step"), [([], 5), ([3], 8), ([3, 6], 11)])
def test_it_decides_for_every_kind_by_itself(changes, step):
    still = Still(5)
    draw = eb.detect(recording(changes), eb.SearchConfig(heads=0.5, neurons=0.5, detector=still))
    assert draw.step == step
    assert draw.kinds["neurons"].step == 5
    assert (draw.how, draw.detector) == ("detector", "Still")
    assert still.last is None  # every kind has had a copy


def test_it_may_never_settle():
    assert eb.detect(recording([]), eb.SearchConfig(heads=0.5, detector=Still(100))) is None


def test_a_shipped_one_decides_as_by_its_name():
    by_name = eb.detect(recording([3]), eb.SearchConfig(heads=0.5, detector="hamming"))
    by_object = eb.detect(recording([3]), eb.SearchConfig(heads=0.5, detector=HammingDistance()))
    assert by_name.step == by_object.step


def test_several_can_be_put_together():
    both = AllOf([Still(5), Still(9)])
    assert eb.detect(recording([]), eb.SearchConfig(heads=0.5, detector=both)).step == 9


def test_a_first_check_after_the_end_is_refused():
    late = HammingDistance(every=31)
    with pytest.raises(eb.InputError, match="HammingDistance"):
        eb.detect(recording([]), eb.SearchConfig(heads=0.5, detector=late))


class Float32(Detector):
    """As somebody computes with arrays of 32 bits."""

    threshold = np.float32(0.5)

    def check(self, observation):
        return np.float32(observation.mask.mean()), np.True_


class Unusual(Float32):
    threshold = "half"


@pytest.mark.parametrize(("detector", "threshold"), [(Float32(), 0.5), (Unusual(), None)])
def test_a_draw_is_told_in_plain_values_whatever_a_detector_computes_with(detector, threshold):
    draw = eb.detect(recording([]), eb.SearchConfig(heads=0.5, detector=detector))
    told = json.loads(json.dumps(draw.description()))["kinds"]["heads"]
    assert told == {"step": 0, "statistic": 0.5, "threshold": threshold}


@pytest.mark.parametrize("steps", [{"every": "1%"}, {"earliest": 0.1}])
def test_an_objects_steps_are_whole_numbers(steps):
    with pytest.raises(eb.InputError, match="must be a whole number of steps, got"):
        HammingDistance(**steps) if "every" in steps else Float32(**steps)


@pytest.mark.parametrize("said", [True, 0.5, None, (0.5,), [0.5, True, 1]])
def test_a_check_that_returns_something_else_is_told_what_to_return(said):
    class Wrong(Detector):
        def check(self, observation):
            return said

    with pytest.raises(eb.InputError, match=r"Wrong\.check must return .*`return statistic, settled`"):
        eb.detect(recording([]), eb.SearchConfig(heads=0.5, detector=Wrong()))
