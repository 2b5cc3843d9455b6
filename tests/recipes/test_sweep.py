from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace

import pytest
from safetensors.torch import load_file

from earlybird.cli.results import report
from earlybird.errors import InputError
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.run_directory import read_json, write_json
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.run import run_stages
from earlybird.recipes.sweep import run
from earlybird.recipes.sweep.begin import begin_sweep
from earlybird.recipes.sweep.directory import SweepDirectory
from earlybird.recipes.sweep.engines import Engine
from earlybird.recipes.sweep.plan import plan_sweep
from earlybird.recipes.sweep.run import run_sweep
from earlybird.recipes.sweep.settings import sweep_settings
from earlybird.recipes.sweep.table import Spread, gather
from earlybird.recipes.sweep.text import central_grid, grid, write_table
from earlybird.report.write import write_report

TINY = [
    "training.epochs=2",
    "training.warmup_epochs=0",
    "training.learning_rate=1e-2",
    "data.train_limit=320",
    "model.layers=2",
    "model.hidden=32",
    "model.neurons=32",
    "search.detector=hamming",
]
BROKEN = "all(hamming, published-ols)"  # 300 steps of a window do not fit into 10
# Of a training, which no two share.
SECONDS = ("train_seconds", "train_cpu_seconds")


def sweep(root, *axis, overrides=(), keep_models=False, **given):
    plan = plan_sweep("digits", [*TINY, *overrides], sweep_settings(given, axis), root)
    files = SweepDirectory(root)
    begin_sweep(files, plan)
    done = list(run_sweep(files, plan, Engine(lambda: ThreadPoolExecutor(1), 1, None), keep_models=keep_models))
    return plan, files, done


def planned(tmp_path, *axis, **given):
    return plan_sweep("digits", TINY, sweep_settings(given, axis), tmp_path)


def test_cells_of_a_seed_share_a_search(tmp_path):
    given = {"draw_at": "0.5%,4%,7%,20%,44%,80%", "ratios": "0.3,0.8", "also": "random,dense,hamming", "seeds": 3}
    plan = planned(tmp_path, **given)
    assert len(plan.searches) == 3
    # Per seed 6 places, Hamming and a random ticket at each ratio, and one dense network.
    assert len(plan.cells) == 3 * (2 * 8 + 1)
    both = planned(tmp_path, "slimming.slim=after,before", "model.softmax=standard,off_by_one", **given)
    assert len(both.searches) == 12
    # How a head is slimmed is nothing to the dense network.
    assert len([cell for cell in both.cells.values() if cell.which == "dense"]) == 6
    # What an axis adds leaves the names of the cells that were there.
    assert set(plan.cells) < set(both.cells)
    after = planned(tmp_path, "search.heads_scope=layer,global", "retraining.epochs=1,2", **given)
    assert set(after.searches) == set(plan.searches)
    # What is left alone gets no coefficients.
    assert len(planned(tmp_path, "search.exclude=[],['*.0.*']", **given).searches) == 6


def test_the_recipes_own_detector_keeps_its_settings_however_it_is_written(tmp_path):
    own = ["search.detector=all(ols,adf)", "search.window=7"]
    for given in ({}, {"detectors": "all(ols,adf), hamming"}):
        plan = plan_sweep("digits", [*TINY, *own], sweep_settings(given, ()), tmp_path)
        windows = {cell.labels["draw"]: cell.recipe.search.window for cell in plan.cells.values()}
        assert windows.pop("all(ols,adf)").amount == 7
        assert set(windows.values()) <= {None}


def test_a_search_without_a_coefficient_score_trains_none(tmp_path):
    scores = planned(
        tmp_path, scores="gradient,squared-gradient", detectors="all(hamming, repeat(hamming, 2)), hamming"
    )
    assert [recipe.search.score for recipe in scores.searches.values()] == ["gradient"]
    assert len(scores.cells) == 4
    mixed = planned(tmp_path, scores="gradient,coefficient")
    assert [recipe.search.score for recipe in mixed.searches.values()] == ["coefficient"]
    # The same score on another training is another cell.
    assert not set(mixed.cells) & set(planned(tmp_path, scores="gradient").cells)


@pytest.mark.parametrize(
    ("given", "axis", "said"),
    [
        ({"ratios": "0.3,0.8,0.30"}, [], "0.3 is given twice"),
        ({"ratios": "1.2"}, [], "ratios.0: input should be less than 1, got '1.2'"),
        ({"draw_at": "4%,4.0%"}, [], "4% is given twice"),
        ({"draw_at": "4%,,5%"}, [], "a span is steps"),
        ({"detectors": "olss"}, [], "did you mean 'ols'"),
        ({"detectors": "dense"}, [], "--also dense"),
        ({"scores": "coeficient"}, [], "scores.0"),
        ({"seeds": 0}, [], "seeds"),
        ({}, ["slimming.slim=after,after"], "give the same recipe twice"),
        ({}, ["training.learning_rate=1e-3,0.001"], "give the same recipe twice"),
        ({}, ["slimming.slim=after", "slimming.slim=before"], "is given twice"),
        ({}, ["slimming.slam=after"], "did you mean 'slim'"),
        ({}, ["seed=1,2"], "use --seeds"),
        ({"ratios": "0.3"}, ["search.heads=0.3,0.4"], "use --ratio"),
    ],
)
def test_bad_input_is_named(given, axis, said, tmp_path):
    with pytest.raises(InputError, match=said):
        planned(tmp_path, *axis, **given)


def test_a_sweep(tmp_path, capsys):
    root = tmp_path / "sweep"
    asked = {
        "draw_at": "50%,5",  # one and the same step, which is 4
        "detectors": f"hamming,{BROKEN}",
        "ratios": "0.5",
        "weights": "rewind,continue",
        "also": "dense,random,final",
    }
    plan, files, done = sweep(root, keep_models=True, **asked)
    found = {str(cell): read_json(files.cell(name) / "cell.json") for name, cell in plan.cells.items()}

    def cell(draw, start="rewind", ratio="0.5"):
        return found[f"{draw}, ratio {ratio}, coefficient, {start}, seed 0"]

    # One fails and does not stop the others.
    for start in ("rewind", "continue"):
        assert cell(BROKEN, start)["status"] == "failed"
        assert "choose a shorter window" in cell(BROKEN, start)["error"]
    assert sum(len(each.failures) for each in done) == 2
    assert cell("final", "continue")["status"] == "nothing-left"
    assert sum(content["status"] == "done" for content in found.values()) == len(found) - 3
    assert cell("50%")["draw_step"] == 4
    assert cell("final")["draw_step"] == 9
    assert cell("hamming", "continue")["replay_difference"] == 0

    is_what_a_run_of_its_own_gives(tmp_path, plan, files, cell)
    each_cell_is_a_run_to_report_on(files, plan)

    # Unchanged, it does nothing but try again what failed.
    written = {path: path.stat().st_mtime_ns for path in root.glob("*/*/trained/*/*/result.json")}
    asked["detectors"] = "hamming"
    assert sweep(root, keep_models=True, **asked)[2] == []
    assert {path: path.stat().st_mtime_ns for path in root.glob("*/*/trained/*/*/result.json")} == written

    # More seeds: the first one's cells are kept, the weights of the new ones are not.
    plan, files, done = sweep(root, **{**asked, "weights": "rewind", "seeds": 2})
    # A search, and five trainings for the six cells: two are drawn at one and the same step.
    assert len([name for name, each in plan.cells.items() if each.labels["seed"] == 1]) == len(done) == 6
    assert not list(files.root.glob("cells/*seed1*/trained/*/*/model"))
    the_table_says_what_there_is(files)
    capsys.readouterr()
    report(files.root)
    printed = capsys.readouterr().out
    assert "accuracy at ratio 0.5" in printed
    assert "different versions of earlybird are mixed" in printed


def is_what_a_run_of_its_own_gives(tmp_path, plan, files, cell):
    ratios = ["search.heads=0.5", "search.neurons=0.5", "retraining.weights=both", f"output={tmp_path / 'run'}"]
    job = Job.begin(read_recipe("digits", [*TINY, *ratios]))
    dict(run_stages(job))
    for start in ("rewind", "continue"):
        name = next(n for n, each in plan.cells.items() if each.labels["draw"] == "hamming" and each.weights == start)
        own = load_file(job.files.trained(start, "ticket") / "model/model.safetensors")
        weights = load_file(files.cell(name) / "trained" / start / "ticket/model/model.safetensors")
        assert own.keys() == weights.keys()
        assert all(own[key].equal(weights[key]) for key in own)
    summary = read_json(job.files.root / "search/result.json")
    assert cell("hamming")["draw_step"] == summary["draw_step"]
    random = read_json(job.files.trained("rewind", "random") / "result.json")
    assert cell("random")["accuracy"] == random["accuracy"]


def each_cell_is_a_run_to_report_on(files, plan):
    for name, each in plan.cells.items():
        if each.labels["draw"] in ("hamming", "dense"):
            assert Job.open(files.cell(name)).recipe == each.recipe
            assert write_report(files.cell(name)).is_file()


def the_table_says_what_there_is(files):
    table = gather(files)
    rows = {(row.labels["draw"], row.labels["start"]): row for row in table.rows}
    dense, hamming = rows["dense", None], rows["hamming", "rewind"]
    assert [row.planned for row in (dense, hamming, rows["hamming", "continue"])] == [2, 2, 1]
    values = [cell["accuracy"] for cell in hamming.cells]
    assert hamming.spread("accuracy").mean == pytest.approx(sum(values) / 2)
    assert hamming.spread("accuracy").deviation == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    changes = [cell["accuracy"] - other["accuracy"] for cell, other in zip(hamming.cells, dense.cells, strict=True)]
    assert hamming.change("accuracy").mean == pytest.approx(sum(changes) / 2)
    assert hamming.settled == 2
    assert any("choose a shorter window" in note for note in table.notes)
    assert any("nothing left to train" in note for note in table.notes)
    headings, lines = central_grid(table)
    assert headings == ["draw", "score", "start", "accuracy at ratio 0.5"]
    assert lines[0][:3] == ["dense", "", ""]
    content = write_table(table, files)
    assert json.loads((files.root / "results.json").read_text()) == content
    assert (files.root / "results.csv").read_text().count("\n") == len(table.rows) + 1
    assert "| hamming | coefficient | rewind | " in (files.root / "results.md").read_text()

    # A lost cell, and one of another version.
    first, second = (files.root / "cells").glob("hamming-0.5-rewind-*/cell.json")
    first.unlink()
    write_json(second, {**read_json(second), "earlybird": "0.0.9"})
    notes = " ".join(gather(files).notes)
    assert "1 of" in notes
    assert "not done yet" in notes
    assert "different versions of earlybird are mixed" in notes
    fields = next(line for line in grid(gather(files))[1] if line[:3] == ["hamming", "coefficient", "rewind"])
    assert fields[4].endswith("(1 of 2)")


@pytest.mark.thorough
def test_a_search_that_is_the_dense_training_serves_as_it(tmp_path):
    evaluated = ["training.evaluate_every=4"]
    given = {"draw_at": "30%", "scores": "gradient", "also": "dense", "weights": "continue"}
    found = []
    for keep_models in (False, True):  # whose weights are to be kept is trained
        plan, files, done = sweep(tmp_path / str(keep_models), overrides=evaluated, keep_models=keep_models, **given)
        assert len(done) == 3
        name = next(name for name, cell in plan.cells.items() if cell.which == "dense")
        found.append(read_json(files.cell(name) / "cell.json"))
        assert (files.cell(name) / "trained/dense/model").is_dir() == keep_models
        assert write_report(files.cell(name)).is_file()
    for each in found:
        assert 0 <= each.pop("other_cores") <= each["cores"]
    served, trained = ({key: value for key, value in each.items() if key not in SECONDS} for each in found)
    for entry in (*served["evaluations"], *trained["evaluations"]):
        assert entry.pop("seconds") > 0
    assert served == trained
    assert [entry["step"] for entry in served["evaluations"]] == [4, 8, 10]
    assert all(found[0][name] > 0 for name in SECONDS)

    # A dense training that was killed goes on: what it has written stays.
    (files.cell(name) / "cell.json").unlink()
    (files.cell(name) / "trained/dense/result.json").unlink()
    shutil.rmtree(files.cell(name) / "trained/dense/model")
    (files.cell(name) / "trained/dense/written-before").touch()
    sweep(files.root, overrides=evaluated, keep_models=True, **given)
    assert (files.cell(name) / "trained/dense/written-before").is_file()
    assert (files.cell(name) / "trained/dense/model").is_dir()

    # Where the search fails, the dense network is trained all the same.
    plan, files, done = sweep(tmp_path / "broken", overrides=[*evaluated, "search.exclude=['*']"], **given)
    outcomes = {cell.which: read_json(files.cell(name) / "cell.json") for name, cell in plan.cells.items()}
    assert outcomes["ticket"]["status"] == "failed"
    assert outcomes["dense"]["accuracy"] == served["accuracy"]


def test_another_recipe_or_another_thing_is_not_gone_on_with(tmp_path):
    files = SweepDirectory(tmp_path / "sweep")
    begin_sweep(files, planned(files.root, ratios="0.3"))
    begin_sweep(files, planned(files.root, ratios="0.8"))
    assert len(files.planned()) == 2
    other = plan_sweep("digits", [*TINY, "training.batch_size=32"], sweep_settings({}, []), files.root)
    with pytest.raises(InputError, match=r"another recipe \(training.batch_size differ\)"):
        begin_sweep(files, other)
    with pytest.raises(InputError, match=r"no cell of the sweep in .* is done yet, of 2 asked for"):
        report(files.root)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no sweep"):
        begin_sweep(SweepDirectory(tmp_path / "full"), other)


def test_a_cell_whose_masks_never_settle_is_not_said_to_be_drawn_by_hand(tmp_path):
    plan, files, _ = sweep(tmp_path / "sweep", ratios="0.5", detectors="repeat(hamming, 6)")
    (name,) = plan.cells
    assert read_json(files.cell(name) / "cell.json")["settled"] is False
    assert read_json(files.cell(name) / "draw.json")["how"] == "end"


def test_one_value_has_no_spread():
    assert Spread.of([]) is None
    assert Spread.of([3.0]) == Spread(3.0, None, 1)
    assert Spread.of([1.0, 3.0]) == Spread(2.0, pytest.approx(2**0.5), 2)


def seed_0_ends_its_worker(files, cells, *, keep_models):
    """In the place of `train_cells`; the first call for another seed goes on until the pool has ended."""
    begun, (cell,) = files.root / "begun", cells
    if cell.labels["seed"] == 0:
        while not begun.exists():
            os.sched_yield()
        os._exit(9)
    if not begun.exists():
        begun.touch()
        signal.pause()
    write_json(files.cell(cell.name) / "cell.json", {"status": "done"})


def test_a_cell_that_ends_its_worker_takes_no_other_with_it(tmp_path, monkeypatch):
    plan = planned(tmp_path / "sweep", also="dense", detectors="hamming", seeds=2)
    dense = {name: cell for name, cell in plan.cells.items() if cell.which == "dense"}
    files = SweepDirectory(tmp_path / "sweep")
    files.root.mkdir()
    monkeypatch.setattr(run, "train_cells", seed_0_ends_its_worker)
    context = multiprocessing.get_context("fork")
    engine = Engine(lambda: ProcessPoolExecutor(2, mp_context=context), 2, None)
    done = list(run_sweep(files, replace(plan, cells=dense, searches={}), engine))
    assert {finished.what: bool(finished.failures) for finished in done} == {
        "dense, seed 0": True,
        "dense, seed 1": False,
    }
    assert [read_json(files.cell(name) / "cell.json")["status"] for name in dense] == ["failed", "done"]
