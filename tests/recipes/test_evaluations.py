"""Evaluations on the way of a recipe's training."""

from __future__ import annotations

import pytest
from safetensors.numpy import load_file

from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.run_directory import read_json
from earlybird.recipes.stages.dense import train_dense
from earlybird.recipes.stages.job import Job
from earlybird.recipes.trainer import RecipeTrainer

pytestmark = pytest.mark.thorough

SETTINGS = ["training.epochs=3", "training.batch_size=128", "training.checkpoint_every=5"]
# So that what an evaluation takes of the random numbers would show.
DROPOUT = "model.dropout=0.2"


def begun(directory, *settings):
    return Job.begin(read_recipe("digits", [f"output={directory}", *SETTINGS, DROPOUT, *settings]))


def result_and_weights(job):
    return read_json(job.files.dense / "result.json"), load_file(job.files.dense / "model" / "model.safetensors")


def test_evaluations_on_the_way_leave_the_training_as_it_is(tmp_path):
    plain, evaluated = begun(tmp_path / "plain"), begun(tmp_path / "evaluated", "training.evaluate_every=11")
    train_dense(plain)
    train_dense(evaluated)
    before, weights = result_and_weights(plain)
    result, same = result_and_weights(evaluated)
    assert all((weights[name] == same[name]).all() for name in weights)
    assert "evaluations" not in before
    evaluations = result["evaluations"]
    assert [entry["step"] for entry in evaluations] == list(range(11, result["steps"] + 1, 11))
    assert result["steps"] % 11 == 0
    assert evaluations[-1]["accuracy"] == result["accuracy"] == before["accuracy"]
    seconds = [0.0, *(entry["seconds"] for entry in evaluations), result["seconds"]]
    assert seconds == sorted(seconds)


def test_evaluations_are_kept_over_an_interruption(tmp_path, monkeypatch):
    job, calls, metrics = begun(tmp_path / "run", "training.evaluate_every=11"), [], RecipeTrainer.metrics

    def interrupted(self):
        calls.append(self.state.global_step)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return metrics(self)

    with monkeypatch.context() as patch:
        patch.setattr(RecipeTrainer, "metrics", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_dense(job)
    train_dense(job)
    undisturbed = begun(tmp_path / "undisturbed", "training.evaluate_every=11")
    train_dense(undisturbed)
    (result, weights), (expected, same) = result_and_weights(job), result_and_weights(undisturbed)
    assert all((weights[name] == same[name]).all() for name in weights)
    untimed = [
        [{key: value for key, value in entry.items() if key != "seconds"} for entry in one["evaluations"]]
        for one in (result, expected)
    ]
    assert untimed[0] == untimed[1]
