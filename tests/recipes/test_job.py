import pytest
import yaml

from earlybird.errors import InputError
from earlybird.recipes.reading import read_recipe, shipped_recipes
from earlybird.recipes.stages.job import Job


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_survives_being_written(name, tmp_path):
    recipe = read_recipe(name, [f"output={tmp_path / 'run'}"])
    Job.begin(recipe)
    assert Job.open(tmp_path / "run").recipe == recipe


def test_a_run_of_before_there_was_a_setting_goes_on(tmp_path):
    recipe = read_recipe("digits", [f"output={tmp_path}"])
    Job.begin(recipe)
    written = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    del written["training"]["workers"]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(written))
    assert Job.open(tmp_path).recipe == recipe
    Job.begin(recipe)


def test_a_run_of_other_settings_or_of_another_task_is_not_gone_on_with(tmp_path):
    Job.begin(read_recipe("bert-glue", [f"output={tmp_path}"]))
    with pytest.raises(InputError, match=r"other settings \(metric differ\)"):
        Job.begin(read_recipe("bert-glue", [f"output={tmp_path}", "metric=f1"]))
    with pytest.raises(InputError, match=r"other settings \(.*data.source"):
        Job.begin(read_recipe("bert-squad", [f"output={tmp_path}"]))
