"""What shows a training while it runs: TensorBoard's curves, and lines in a log."""

from __future__ import annotations

import math

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from earlybird import extras
from earlybird.errors import InputError
from earlybird.recipes.reading import read_recipe
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.search import search
from earlybird.trajectory import Trajectory

STEPS = 88
SETTINGS = ["training.epochs=4", "search.to_the_end=true", "search.detector=equivalence", "training.tensorboard=true"]


@pytest.fixture
def job(tmp_path):
    return Job.begin(read_recipe("digits", [f"output={tmp_path / 'run'}", *SETTINGS]))


def test_curves_of_a_search_grow_in_tensorboard(job):
    search(job)
    curves = EventAccumulator(str(job.files.search / "tensorboard"))
    curves.Reload()
    names = set(curves.Tags()["scalars"])
    watched = {
        f"train/earlybird_{what}_{kind}" for what in ("nuclear-norm", "statistic") for kind in ("heads", "neurons")
    }
    assert {"train/loss", "train/learning_rate", "train/earlybird_threshold", *watched} <= names
    norms = curves.Scalars("train/earlybird_nuclear-norm_heads")
    assert [event.step for event in norms] == list(range(1, STEPS + 1))
    shape = Trajectory.open(job.files.trajectory).shape.units["heads"]
    assert all(0 < event.value <= math.sqrt(sum(shape) * len(shape)) for event in norms)


def test_a_log_tells_how_far_a_search_has_come(job, capsys):
    search(job)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("search: step")]
    assert len(lines) == 9
    assert lines[-1].startswith(f"search: step 81 of {STEPS}, loss ")
    assert all("nuclear-norm" in line for line in lines)
    assert "(threshold 0.02)" in lines[-1]
    assert any(line.endswith(" left") for line in lines)


def test_a_recipe_says_what_tensorboard_needs(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda module: None)
    with pytest.raises(InputError, match=r"training: .*pip install 'earlybird\[tensorboard\]'"):
        read_recipe("digits", ["training.tensorboard=true"])
