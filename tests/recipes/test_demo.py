"""What the demo runs: a network that comes with earlybird, fine-tuned on digits, beside three others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from earlybird.checkpoint.directory_lock import locked
from earlybird.cli.commands import app
from earlybird.errors import InputError
from earlybird.models.bundled import located
from earlybird.recipes.data.digits import read_digits
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.stages.job import Job

SHORT = ["training.epochs=4", "data.train_limit=256", "search.detector=fixed-time", "search.threshold=0.25"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo's recipe, short; its directory, and what was printed."""
    root = tmp_path_factory.mktemp("demo") / "run"
    done = CliRunner().invoke(app, ["run", "digits-finetune", f"output={root}", *SHORT])
    assert done.exit_code == 0, (done.output, done.exception)
    return root, done.output


def test_four_networks_are_trained_and_compared(run: tuple[Path, str]) -> None:
    root, printed = run
    summary = json.loads((root / "summary.json").read_text(encoding="utf-8"))
    assert {"dense", "dense_matched", "ticket", "random"} <= set(summary)
    for name in ("Dense, same FLOPs", "Ticket, continued", "Random ticket", "training FLOPs", "CPU seconds"):
        assert name in printed
    assert "Dense, same FLOPs" in (root / "report.html").read_text(encoding="utf-8")


def test_the_matched_dense_network_trains_for_the_flops_of_the_ticket(run: tuple[Path, str]) -> None:
    summary = json.loads((run[0] / "summary.json").read_text(encoding="utf-8"))
    dense, ticket = summary["dense"], summary["ticket"]
    spent = (ticket["draw_step"] + 1) * dense["flops"] + ticket["train_steps"] * ticket["flops"]
    assert abs(summary["dense_matched"]["train_steps"] - spent / dense["flops"]) <= 0.5
    assert summary["dense_matched"]["flops"] == dense["flops"]


def test_the_network_that_comes_along_keeps_what_it_knows(tmp_path: Path) -> None:
    """The head is drawn anew, but all below it are the weights that were trained."""
    recipes = [read_recipe("digits-finetune", [f"output={tmp_path / str(seed)}", f"seed={seed}"]) for seed in (0, 1)]
    first, second = (Job.begin(recipe).initial_model() for recipe in recipes)
    other = dict(second.named_parameters())
    assert {name for name, value in first.named_parameters() if not value.equal(other[name])} == {"classifier.weight"}


def test_a_network_that_does_not_come_along_is_told_so() -> None:
    assert located("somebody/glyphs") == "somebody/glyphs"
    with pytest.raises(InputError, match="no network called earlybird:glyph comes with earlybird; there is"):
        located("earlybird:glyph")


def test_digits_are_split_as_asked_for() -> None:
    train, evaluation = read_digits(0.5)
    assert (len(train.labels), len(evaluation.labels)) == (898, 899)
    with pytest.raises(InputError, match=r"data.eval_share splits the digits; data.format=idx has splits of its own"):
        read_recipe("digits", ["data.format=idx", "data.source=somewhere", "data.eval_share=0.5"])


@pytest.mark.parametrize("command", [["run", "digits", "output=here"], ["sweep", "digits", "--output", "here"]])
def test_two_commands_in_one_directory_do_not_mix(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    with locked(Path("here")):
        done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, InputError)
    assert "another earlybird is at work in here" in str(done.exception)
    assert list(Path("here").iterdir()) == []
