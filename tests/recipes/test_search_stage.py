"""The search as a stage of a recipe."""

from __future__ import annotations

import pytest

from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.run_directory import read_json
from earlybird.recipes.stages.dense import train_dense
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.search import search
from earlybird.recipes.trainer import RecipeTrainer
from earlybird.trajectory import Trajectory


def test_a_search_interrupted_after_its_draw_takes_no_step_more(tmp_path, monkeypatch):
    settings = ["training.epochs=3", "training.batch_size=128", "search.detector=hamming"]
    job = Job.begin(read_recipe("digits", [f"output={tmp_path / 'run'}", *settings, "training.checkpoint_every=1"]))

    def interrupted(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RecipeTrainer, "metrics", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search(job)
    search(job)
    result = read_json(job.files.search / "result.json")
    assert Trajectory.open(job.files.trajectory).steps == result["steps"] == result["draw_step"] + 1


def test_a_training_whose_outcome_could_not_be_written_goes_on_from_its_last_checkpoint(tmp_path, monkeypatch, capsys):
    settings = ["training.epochs=3", "training.batch_size=128", "training.checkpoint_every=11"]
    job = Job.begin(read_recipe("digits", [f"output={tmp_path / 'run'}", *settings]))
    with monkeypatch.context() as patch:
        patch.setattr(Job, "write_trained", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_dense(job)
    assert train_dense(job)
    assert "dense: from step 22 to 33" in capsys.readouterr().err
    assert read_json(job.files.dense / "result.json")["steps"] == 33
    assert sorted(path.name for path in job.files.dense.iterdir()) == ["model", "result.json"]
