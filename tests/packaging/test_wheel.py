"""The wheel, installed with what it declares and nothing else: what `pip install earlybird` is worth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from site_of_links import ROOT, Environment, build_wheel, closure, environment_of, metadata_of, required_by

HERE = Path(__file__).parent
AT_MOST = 10
SMALL_RUN = [
    *("training.epochs=6", "training.warmup_epochs=1", "data.train_limit=640", "search.threshold=0.5"),
    *("model.layers=2", "model.hidden=32"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return environment_of(wheel, closure(wheel).values(), tmp_path_factory.mktemp("bare") / "environment")


@pytest.fixture(scope="module")
def with_recipes(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    packages = closure(wheel, ["recipes"]).values()
    return environment_of(wheel, packages, tmp_path_factory.mktemp("recipes") / "environment")


def run_script(environment: Environment, name: str, *arguments: str, cwd: Path) -> str:
    """What one of the scripts beside this file prints, run by the environment's interpreter."""
    done = environment.run("python", str(HERE / name), *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_bare_install_declares_few_dependencies(wheel: Path) -> None:
    direct = required_by(metadata_of(wheel))
    packages = closure(wheel)
    print(f"{len(direct)} direct dependencies: {', '.join(sorted(map(str, direct)))}")
    print(f"{len(packages)} packages in all: {', '.join(sorted(packages))}")
    assert len(direct) <= AT_MOST
    assert {each.name for each in direct} <= set(packages)


def test_the_environment_sees_the_closure_and_nothing_else(bare: Environment, wheel: Path, tmp_path: Path) -> None:
    program = "import importlib.metadata as m, json; print(json.dumps([d.metadata['Name'] for d in m.distributions()]))"
    done = bare.run("python", "-c", program, cwd=tmp_path)
    seen = {name.lower().replace("_", "-") for name in json.loads(done.stdout)}
    assert seen == {*closure(wheel), "earlybird"}


def test_the_python_of_the_readme_runs_on_a_bare_install(bare: Environment, tmp_path: Path) -> None:
    blocks = (ROOT / "README.md").read_text(encoding="utf-8").count("```python\n")
    assert blocks > 0
    said = run_script(bare, "run_python_of_page.py", str(ROOT / "README.md"), cwd=tmp_path)
    assert f"{blocks} blocks ran" in said


def test_the_whole_way_runs_on_a_bare_install(bare: Environment, tmp_path: Path) -> None:
    said = run_script(bare, "whole_way.py", cwd=tmp_path)
    assert all(f"detected: {detector}" in said for detector in ("ols", "mann-kendall", "adf"))
    assert "loaded: " in said


def test_the_trainers_whole_way_runs_on_a_bare_install(bare: Environment, tmp_path: Path) -> None:
    assert "drawn: " in run_script(bare, "with_trainer.py", cwd=tmp_path)


@pytest.mark.parametrize("command", [["earlybird", "demo"], ["earlybird", "--help"], ["python", "-m", "earlybird"]])
def test_a_command_of_a_bare_install_says_in_one_sentence_which_extra_to_install(
    bare: Environment, command: list[str], tmp_path: Path
) -> None:
    done = bare.run(*command, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.endswith("pip install 'earlybird[recipes,report]'")


@pytest.mark.thorough
def test_a_run_without_the_extra_of_reports_does_all_but_the_report_and_says_why(
    with_recipes: Environment, tmp_path: Path
) -> None:
    root = tmp_path / "run"
    begun = with_recipes.run("earlybird", "run", "digits", f"output={root}", *SMALL_RUN, cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    assert "Report: not written" in begun.stdout
    assert "pip install 'earlybird[report]'" in begun.stdout
    assert {"dense", "ticket", "random"} <= set(json.loads((root / "summary.json").read_text(encoding="utf-8")))

    again = with_recipes.run("earlybird", "run", "digits", f"output={root}", *SMALL_RUN, "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["ticket"]
    assert "Report: not written" in again.stderr

    for command in ("report", "figures"):
        asked = with_recipes.run("earlybird", command, str(root), cwd=tmp_path)
        assert (asked.returncode, asked.stdout) == (2, "")
        (sentence,) = asked.stderr.splitlines()
        assert sentence.endswith("pip install 'earlybird[report]'")
    assert not (root / "report.html").exists()
