"""What shows a training while it runs: TensorBoard's curves, and lines in a log."""

from __future__ import annotations

import json
import math

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from earlybird import extras
from earlybird.errors import InputError
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.search import search
from earlybird.recipes.training import FiniteLoss
from earlybird.trajectory import Trajectory

STEPS = 88
SETTINGS = ["training.epochs=4", "search.to_the_end=true", "search.detector=equivalence", "training.tensorboard=true"]


@pytest.fixture
def job(tmp_path):
    return Job.begin(read_recipe("digits", [f"output={tmp_path / 'run'}", *SETTINGS]))


def drawn_at(job):
    """The 0-based step of the draw."""
    return json.loads((job.files.search / "result.json").read_text())["draw_step"]


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
    assert [event.step for event in norms] == list(range(1, drawn_at(job) + 2))
    shape = Trajectory.open(job.files.trajectory).shape.units["heads"]
    assert all(0 < event.value <= math.sqrt(sum(shape) * len(shape)) for event in norms)


def test_a_log_tells_how_far_a_search_has_come(job, capsys):
    search(job)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("search: step")]
    assert len(lines) == 9
    assert lines[-1].startswith(f"search: step 81 of {STEPS}, loss ")
    watched = [line for line in lines if "nuclear-norm" in line]
    assert len(watched) == (drawn_at(job) + 1) // 9  # a line every nine steps; after the draw nothing is watched
    assert "(threshold 0.02)" in watched[-1]
    assert all(f"drawn at step {drawn_at(job)}" in line for line in lines[len(watched) :])
    assert any(line.endswith(" left") for line in lines)


def scalars(job):
    """Every curve of the search in TensorBoard, name -> (steps, values)."""
    events = EventAccumulator(str(job.files.search / "tensorboard"))
    events.Reload()
    curves = {name: events.Scalars(name) for name in events.Tags()["scalars"]}
    return {name: ([e.step for e in found], [e.value for e in found]) for name, found in curves.items()}


@pytest.mark.thorough
def test_a_criterion_with_a_lag_has_a_name_of_its_own_and_no_value_where_it_has_none(tmp_path):
    changes = ["search.criterion=overlap", "search.lag=20"]
    job = Job.begin(read_recipe("digits", [f"output={tmp_path / 'run'}", *SETTINGS, *changes]))
    search(job)
    curves = scalars(job)
    steps, values = curves["train/earlybird_overlap-20_neurons"]
    assert steps == list(range(21, STEPS + 1))
    assert all(map(math.isfinite, values))
    # The overlap with the mask of the step before, which is another one.
    nearer = dict(zip(*curves["train/earlybird_overlap_neurons"], strict=True))
    assert all(nearer[step] >= value for step, value in zip(steps, values, strict=True))
    assert min(nearer.values()) < 1


def test_curves_end_at_the_draw(tmp_path):
    job = Job.begin(read_recipe("digits", [f"output={tmp_path / 'run'}", *SETTINGS, "search.detector=hamming"]))
    search(job)
    curves = scalars(job)
    assert drawn_at(job) + 1 < STEPS
    assert max(curves["train/earlybird_overlap_heads"][0]) == drawn_at(job) + 1
    assert max(curves["train/loss"][0]) == STEPS


@pytest.mark.thorough
@pytest.mark.parametrize("step", [2, 40])
def test_a_resumed_search_leaves_neither_gap_nor_double(tmp_path, monkeypatch, step):
    before = FiniteLoss.on_log

    def stop(self, args, state, control, **kwargs):
        before(self, args, state, control, **kwargs)
        if state.global_step == step:
            raise KeyboardInterrupt

    job = Job.begin(read_recipe("digits", [f"output={tmp_path / 'run'}", *SETTINGS]))
    with monkeypatch.context() as patch:
        patch.setattr(FiniteLoss, "on_log", stop)
        with pytest.raises(KeyboardInterrupt):
            search(job)
    search(Job.open(job.files.root))
    assert scalars(job)["train/loss"][0] == list(range(1, STEPS + 1))


def test_tensorboard_may_be_switched_on_for_a_run_that_was_begun_without(job):
    changed = read_recipe("digits", [f"output={job.files.root}", *SETTINGS[:-1]])
    assert Job.begin(changed).recipe.training.tensorboard is False


def test_a_training_says_what_tensorboard_needs_and_reading_its_run_does_not(job, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda module: None)
    assert Job.open(job.files.root).recipe.training.tensorboard
    with pytest.raises(InputError, match=r"pip install 'earlybird\[tensorboard\]'"):
        search(job)
