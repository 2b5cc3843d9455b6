import shutil

import pytest
import yaml

from earlybird.errors import InputError
from earlybird.recipes.recipe_file import read_recipe, shipped_recipes, validated
from earlybird.recipes.run_directory import remove_whole, replace_directory
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.retrain import retrain


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_survives_being_written(name, tmp_path):
    recipe = read_recipe(name, [f"output={tmp_path / 'run'}"])
    Job.begin(recipe)
    assert Job.open(tmp_path / "run").recipe == recipe


def test_a_run_killed_while_it_wrote_its_very_first_file_begins_anew(tmp_path):
    (tmp_path / "recipe.yaml.tmp").write_text("version: 1\ntask: im")
    Job.begin(read_recipe("digits", [f"output={tmp_path}"]))
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_a_run_of_before_there_was_a_setting_goes_on(tmp_path):
    recipe = read_recipe("digits", [f"output={tmp_path}"])
    Job.begin(recipe)
    written = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    del written["training"]["workers"]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(written))
    (tmp_path / "initial").mkdir()
    assert Job.open(tmp_path).recipe == recipe
    Job.begin(recipe)


@pytest.mark.parametrize("name", ["digits", "bert-glue"])
def test_a_run_of_before_the_defaults_saved_goes_on_as_it_did(name, tmp_path):
    then = ["search.score=coefficient", "search.compensation=0", "retraining.weights=rewind"]
    recipe = read_recipe(name, [f"output={tmp_path}", *then])
    Job.begin(recipe)
    written = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    for section, key in (said.split("=")[0].split(".") for said in then):
        del written[section][key]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(written))
    (tmp_path / "initial").mkdir()
    assert Job.open(tmp_path).recipe == recipe
    Job.begin(recipe)
    with pytest.raises(InputError, match=r"other settings \(search.compensation differ\)"):
        Job.begin(read_recipe(name, [f"output={tmp_path}", *then, "search.compensation=16"]))


def test_what_the_small_network_starts_from_goes_by_the_score_where_nobody_says():
    content = read_recipe("digits").model_dump(mode="json")
    del content["retraining"]
    for score, weights in (("coefficient", "rewind"), ("gradient", "continue"), ("squared-gradient", "continue")):
        content["search"]["score"] = score
        assert validated(content, "recipe").retraining.weights == weights


def test_a_run_of_other_settings_or_of_another_task_is_not_gone_on_with(tmp_path):
    Job.begin(read_recipe("bert-glue", [f"output={tmp_path}"]))
    with pytest.raises(InputError, match=r"other settings \(metric differ\)"):
        Job.begin(read_recipe("bert-glue", [f"output={tmp_path}", "metric=f1"]))
    with pytest.raises(InputError, match=r"other settings \(.*data.source"):
        Job.begin(read_recipe("bert-squad", [f"output={tmp_path}"]))


@pytest.mark.parametrize("force", [False, True])
def test_a_recipe_written_by_hand_is_no_run(tmp_path, force):
    mine = "# my own\ntask: image-classification\ndata: {format: digits}\n"
    (tmp_path / "recipe.yaml").write_text(mine)
    with pytest.raises(InputError, match="holds no run of earlybird"):
        Job.begin(read_recipe("digits", [f"output={tmp_path}"]), force=force)
    assert (tmp_path / "recipe.yaml").read_text() == mine


def test_force_removes_what_a_run_wrote_and_nothing_else(tmp_path):
    recipe = read_recipe("digits", [f"output={tmp_path / 'link'}", "training.epochs=3"])
    (tmp_path / "run" / "mine").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "run")
    job = Job(recipe, tmp_path / "link")
    job.write_recipe()
    job.files.search.mkdir()
    job.files.draw.write_text("{}")
    Job.begin(recipe, force=True)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["mine", "recipe.yaml"]


def test_force_removes_nothing_for_a_detector_that_cannot_work(tmp_path):
    job = Job.begin(read_recipe("digits", [f"output={tmp_path}"]))
    job.files.search.mkdir()
    other = read_recipe("digits", [f"output={tmp_path}", "search.detector=ols", "search.window=5000"])
    with pytest.raises(InputError, match="choose a shorter window"):
        Job.begin(other, force=True)
    assert job.files.search.is_dir()
    assert Job.open(tmp_path).recipe == job.recipe


def test_a_training_forced_without_its_pruned_network_keeps_what_there_is(tmp_path):
    job = Job.begin(read_recipe("digits", [f"output={tmp_path}"]))
    done = job.files.trained("rewind", "ticket") / "result.json"
    done.parent.mkdir(parents=True)
    done.write_text("{}")
    with pytest.raises(InputError, match="no pruned model"):
        retrain(job, "rewind", "ticket", force=True)
    assert done.read_text() == "{}"


@pytest.mark.parametrize("remove", [lambda path: remove_whole(path), lambda path: replace_directory(path / "..", path)])
def test_a_removal_that_is_killed_leaves_nothing_that_passes_for_whole(remove, tmp_path, monkeypatch):
    stage = tmp_path / "dense"
    stage.mkdir()
    (stage / "result.json").write_text("{}")

    def killed(path, **_):
        if path.exists():
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove(stage)
    assert not stage.exists()
    stage.mkdir()
    remove_whole(stage)
    assert list(tmp_path.iterdir()) == []
