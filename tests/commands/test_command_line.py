"""The commands, run as a person runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from separate import earlybird

from earlybird.cli import jobs
from earlybird.recipes.recipe_file import read_recipe

SMALL = [
    "training.epochs=6",
    "training.warmup_epochs=1",
    "data.train_limit=640",
    "search.threshold=0.5",
    "model.layers=2",
    "model.hidden=32",
    "training.checkpoint_every=5",
]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["frobnicate"], "No such command"),
        (["run"], "Missing argument"),
        (["run", "digits", "training.epocs=1"], "did you mean 'epochs'?"),
        (["run", "digits", "version=7"], "recipe version must be 1, got 7"),
        (["run", "digits", "search.heads=1.2"], "search.heads: ratio must lie in [0, 1), got 1.2"),
        (["run", "digits", "search.heads={'*': 0.5}"], "search.heads: a search prunes each kind by one ratio"),
        (["sweep", "digits", "search.heads={'*': 0.5}"], "search.heads: a search prunes each kind by one ratio"),
        (["run", "digits", "search.heads=0", "search.neurons=0"], "heads, neurons, experts are all 0"),
        (["run", "digits", "search.threshold=2"], "search.threshold: must lie in (0, 1), got 2"),
        (["run", "digits", "slimming.l1_heads=-1"], "slimming.l1_heads: must be a number of at least 0"),
        (["run", "digits", "search.exclude='*.0.*'"], "search.exclude: give a list, [A, B], got '*.0.*'"),
        (["run", "digits", "search.detector=5"], "search.detector: a recipe names its detector, got 5"),
        (["run", "digits", "search.detector=olss"], "did you mean 'ols'?"),
        (["run", "digits", "search.detector=all(ols, adff)"], "did you mean 'adf'?"),
        (["run", "digits", "search.criterion=overlaps"], "did you mean 'overlap'?"),
        (["run", "digits", "search.detector=ols", "search.window=5000"], "choose a shorter window"),
        (["sweep", "digits", "--ratio", "0.3,0.8,0.3"], "0.3 is given twice"),
        (["run", "nowhere.yaml"], "there is no recipe nowhere.yaml"),
        (["draw", "nowhere"], "no run's directory"),
        (["draw", "nowhere", "--detector", "all", "--at", "3"], "no ticket is drawn here"),
        (["import", "nowhere"], "nowhere is no directory"),
        (["run", "digits", "data.format=parquet", "data.source=nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, said, tmp_path):
    result = earlybird(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_detectors_as_json(tmp_path):
    rows = json.loads(earlybird("detectors", "--json", cwd=tmp_path).stdout)
    assert {"ols", "mann-kendall", "adf", "hamming"} <= {row["detector"] for row in rows}
    assert all(row["null_hypothesis"] and row["settings"] and row["cost"] for row in rows)


def test_recordings_are_imported_and_every_detector_is_asked(tmp_path):
    random = np.random.default_rng(0)
    moves = random.normal(0, 0.1, (2, 400, 8)) * np.exp(-np.arange(400) / 60)[None, :, None]
    np.save(tmp_path / "msa_slimming_coefs.npy", np.float32(1 + moves.cumsum(1)))
    imported = earlybird("import", ".", "--output", "record", "--json", cwd=tmp_path)
    assert json.loads(imported.stdout) == {"trajectory": "record", "steps": 400, "units": {"heads": [8, 8]}}

    asked = ["draw", "record", "--heads", "0.5", "--detector"]
    rows = json.loads(earlybird(*asked, "all", "--every", "10%", "--json", cwd=tmp_path).stdout)
    verdicts = {row["detector"]: row for row in rows}
    assert {"equivalence", "pelt", "df-gls", "markov-switching", "published-ols"} <= set(verdicts)
    assert all((row["draw_step"] is None) == bool(row["reason"]) for row in rows)
    assert "after the run's 400 steps" in verdicts["published-ols"]["reason"]
    table = earlybird(*asked, "repeat(equivalence, 2)", "--every", "10%", cwd=tmp_path)
    assert f"step {verdicts['equivalence']['draw_step'] + 40}" in " ".join(table.stdout.split())
    assert sorted(path.name for path in (tmp_path / "record").iterdir()) == [
        "chunks.jsonl",
        "heads.coefficient.f32",
        "trajectory.json",
    ]


@pytest.mark.thorough
def test_a_whole_run_survives_a_kill_in_the_search_and_is_not_done_twice(tmp_path):
    command = ["digits", *SMALL, "output=run", "dense=false", "retraining.weights=both"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    search = subprocess.Popen(
        [sys.executable, "-m", "earlybird", "run", *command],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    checkpoints = tmp_path / "run/search/checkpoints"
    while search.poll() is None and not list(checkpoints.glob("checkpoint-*/earlybird-clock.json")):
        try:
            search.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
    os.kill(search.pid, signal.SIGKILL)
    search.wait()
    assert not (tmp_path / "run/search/result.json").exists()

    resumed = earlybird("run", *command, "--json", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    summary = json.loads(resumed.stdout)
    assert {"ticket", "random", "ticket_continued", "random_continued"} <= set(summary)
    assert summary["ticket"]["parameters"] == summary["random"]["parameters"]

    # An undisturbed search gives the same draw.
    whole = earlybird(
        "search", "digits", *SMALL, "output=whole", "dense=false", "retraining.weights=both", cwd=tmp_path
    )
    assert whole.returncode == 0, whole.stderr
    cut, uncut = (json.loads((tmp_path / n / "search/result.json").read_text()) for n in ("run", "whole"))
    assert cut["draw_step"] == uncut["draw_step"]

    again = earlybird("run", *command, "--json", cwd=tmp_path)
    assert json.loads(again.stdout) == summary
    other = earlybird("run", *command, "search.heads=0.2", cwd=tmp_path)
    assert other.returncode == 2
    assert "search.heads differ" in other.stderr
    written = (tmp_path / "run/draw.json").read_bytes()
    every = earlybird("draw", "run", "--detector", "all", "--every", "20%", cwd=tmp_path)
    assert every.returncode == 0, every.stderr
    assert "mann-kendall" in every.stdout
    assert every.stderr == ""
    assert (tmp_path / "run/draw.json").read_bytes() == written
    changed = earlybird("draw", "run", "--at", "50%", cwd=tmp_path)
    assert changed.returncode == 2
    assert "was drawn before" in changed.stderr
    refuses_files_that_do_not_belong(tmp_path)


def refuses_files_that_do_not_belong(tmp_path):
    ticket = tmp_path / "run/ticket.json"
    whole = ticket.read_text()
    for damaged in (whole.replace('"kept": 2', '"kept": 3', 1), whole[: len(whole) // 2], "[]"):
        ticket.write_text(damaged)
        result = earlybird("prune", "run", "--force", cwd=tmp_path)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
        assert "ticket.json" in result.stderr
    ticket.write_text(whole)
    description = tmp_path / "run/search/trajectory/trajectory.json"
    foreign = json.loads(description.read_text()) | {"model": "0123456789abcdef"}
    description.write_text(json.dumps(foreign))
    result = earlybird("draw", "run", "--output", "other.json", cwd=tmp_path)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "from another model" in result.stderr
    assert not (tmp_path / "other.json").exists()


def test_a_disk_that_takes_no_more_ends_with_status_1_and_the_run_goes_on_later(tmp_path):
    command = ["run", "digits", *SMALL, "output=run", "dense=false", "random=false"]
    # No file may grow beyond 150 KiB: the model can be written, the first checkpoint's optimizer cannot.
    limited = subprocess.run(
        ["bash", "-c", 'ulimit -f 150 && exec "$@"', "bash", sys.executable, "-m", "earlybird", *command],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert limited.returncode == 1
    assert "the job failed" in limited.stderr.splitlines()[-1]
    assert "Traceback" not in limited.stderr
    assert not list(tmp_path.glob("run/search/checkpoints/*/earlybird-clock.json"))
    resumed = earlybird(*command, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr


def test_a_search_that_did_not_settle_fails_and_may_be_drawn_at_its_end(tmp_path):
    never = ["search.detector=half-time-capture", "search.threshold=0.9999999"]
    then = ["retraining.weights=both", "retraining.epochs=2", "dense=false", "random=false"]
    command = ["run", "digits", *SMALL, *never, *then, "output=run"]
    failed = earlybird(*command, "search.unsettled=fail", cwd=tmp_path)
    assert failed.returncode == 1
    assert "search.unsettled=draw, which needs no new search" in failed.stderr
    result = (tmp_path / "run/search/result.json").read_bytes()
    assert earlybird("run", "run/recipe.yaml", cwd=tmp_path).returncode == 1
    drawn = earlybird(*command, "search.unsettled=draw", "--json", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    assert {"ticket", "ticket_continued"} <= set(json.loads(drawn.stdout))
    assert (tmp_path / "run/search/result.json").read_bytes() == result

    # Another ticket takes with it what was made of the one it replaces.
    replaced = earlybird("draw", "run", "--at", "50%", "--force", cwd=tmp_path)
    assert replaced.returncode == 0, replaced.stderr
    assert not list(tmp_path.glob("run/pruned/*/*"))
    assert not list(tmp_path.glob("run/trained/*/*"))
    chance = earlybird("draw", "run", "--random", "3", cwd=tmp_path)
    assert chance.returncode == 2
    assert "--output" in chance.stderr
    assert earlybird("draw", "run", "--random", "3", "--output", "chance.json", cwd=tmp_path).returncode == 0
    assert (tmp_path / "chance.json").is_file()


def test_an_interrupt_says_how_to_go_on(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "earlybird", "search", "digits", "output=run"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # What runs in the background is started deaf to interrupts.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    for line in process.stderr:
        if line.startswith("search: step"):
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "earlybird: interrupted; the same command, without --force, goes on" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("name", ["2024", "a: b", "a #1", "a[/x]"])
def test_any_directory_may_be_the_demos(name, monkeypatch):
    asked = []
    monkeypatch.setattr(jobs, "_run", lambda recipe, overrides, **_: asked.append(read_recipe(recipe, overrides)))
    jobs.demo(Path(name))
    assert [recipe.output for recipe in asked] == [name]
