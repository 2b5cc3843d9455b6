"""What `earlybird report` and `figures` say of files that were changed: a page without the part, or one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from earlybird.cli.commands import app
from earlybird.errors import InputError
from earlybird.ticket import Ticket
from earlybird.trajectory import Shape, TrajectoryWriter

TRAINED = {
    "metric": "accuracy",
    "accuracy": 90.0,
    "examples": 10,
    "parameters": 1,
    "flops": 1,
    "seconds": 1,
    "steps": 1,
}
CELL = {"draw": "dense", "ratio": None, "score": None, "coefficients": None, "start": None, "seed": 0, "axes": {}}
CELL |= {"dense": "a"}
FIGURES = ("survivors", "head-coefficients", "norm-windows", "unit-regressions", "unit-states")


def called(*arguments: object) -> str:
    """What went wrong, "" if nothing did; any other error than our own is the test's."""
    try:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    except InputError as error:
        return str(error)
    assert result.exit_code == 0
    return ""


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    root = tmp_path / "run"
    shutil.copytree(finished, root)
    return root


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("trained/dense/result.json", {"examples": None}, "examples must be a number"),
        ("trained/dense/result.json", {"metric": ""}, "no metric ''"),
        ("trained/dense/result.json", {"metric": {}}, "no metric {}"),
        ("trained/dense/result.json", {"accuracy": None}, "accuracy must be a number"),
        ("summary.json", {"evaluation_examples": 10**350}, ""),
        ("trained/dense/result.json", {"seconds": float("nan")}, "NaN is no number"),
        ("trained/rewind/ticket/result.json", {}, ""),
        ("trained/rewind/ticket/result.json", {"steps": "9"}, "steps must be a number"),
        ("search/result.json", {"steps": 0}, "steps must be a count"),
        ("search/result.json", {"seconds": []}, "seconds must be a number"),
        ("draw.json", {"fraction": "x"}, "fraction must be a number"),
    ],
)
def test_a_damaged_result_is_named(run: Path, file: str, changes: dict[str, object], said: str) -> None:
    for name in ("dense", "rewind/ticket"):
        path = run / "trained" / name / "result.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(TRAINED))
    path = run / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    error = called("report", run)
    assert said in error
    assert bool(said) == bool(error)
    assert not list(run.rglob("*.tmp"))


def test_a_ticket_of_another_model_costs_its_part_only(run: Path) -> None:
    other = {"heads": np.ones((2, 2), dtype=np.bool_)}
    Ticket(other, {"heads": (2, 2)}, {"heads": ("a", "b")}, {}).save(run / "ticket.json")
    assert called("report", run) == ""
    assert "for another model than the one that was recorded" in (run / "report.html").read_text()
    assert called("figures", run, *(f"--figure={name}" for name in FIGURES)) == ""


def test_a_ticket_of_a_kind_that_is_not_pruned_costs_its_figure(run: Path) -> None:
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(recipe.replace("heads: 0.5", "heads: 0"))
    (run / "draw.json").unlink()
    whole = Ticket.load(run / "ticket.json")
    masks, units, blocks = ({"heads": part["heads"]} for part in (whole.masks, whole.units, whole.blocks))
    Ticket(masks, units, blocks, {}).save(run / "ticket.json")
    assert called("figures", run, "--figure=survivors") == ""


@pytest.mark.parametrize("place", ["name", "summary", "ticket"])
def test_half_a_character_is_shown_as_what_it_is(run: Path, place: str) -> None:
    if place == "name":
        (run / "recipe.yaml").write_text((run / "recipe.yaml").read_text() + 'name: "\\ud800"\n')
    elif place == "summary":
        (run / "summary.json").write_text((run / "summary.json").read_text().replace("0.1.0", "\\ud800"))
    else:
        ticket = Ticket.load(run / "ticket.json")
        ticket.provenance["versions"]["torch"] = "\ud800"
        ticket.save(run / "ticket.json")
    assert called("report", run) == ""
    assert (run / "report.html").read_text(encoding="utf-8")


DONE = {"status": "done", "earlybird": "1", "metric": "accuracy", "accuracy": 90.0}
DONE |= {"train_seconds": 1, "parameters": 1, "flops": 1}
TICKET = CELL | {"draw": "hamming", "ratio": {"heads": 0.4}, "score": "coefficient", "start": "rewind"}


def reported_sweep(root: Path, labels: dict[str, object], cells: dict[str, dict[str, object]]) -> str:
    root.mkdir(exist_ok=True)
    for name, cell in cells.items():
        (root / "cells" / name).mkdir(parents=True)
        (root / "cells" / name / "cell.json").write_text(json.dumps(cell))
    (root / "sweep.json").write_text(json.dumps({"recipe": {}, "cells": labels}))
    return called("report", root)


@pytest.mark.parametrize(
    "changes",
    [
        *({name: []} for name in CELL),
        {"dense": "absent"},
        {"draw": "\ud800"},
        {"axes": {"training.epochs": float("inf")}},
        {"ratio": "0.4"},
        {"ratio": {"heads": {}}},
    ],
)
def test_a_damaged_sweep_is_named(tmp_path: Path, changes: dict[str, object]) -> None:
    labels = {key: value for key, value in {**CELL, **changes}.items() if value != "absent"}
    assert "sweep.json is damaged" in reported_sweep(tmp_path, {"a": labels}, {"a": DONE})


def test_a_cells_name_is_no_path(tmp_path: Path) -> None:
    for number, name in enumerate(["../a", "a" * 3000, ""]):
        assert "sweep.json is damaged" in reported_sweep(tmp_path / str(number), {name: CELL}, {})


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "failed"},
        {"status": "failed", "error": []},
        {"status": []},
        {"earlybird": 1},
        {"metric": []},
        {"accuracy": "x"},
        {"train_seconds": None},
        {"draw_step": "\x00"},
        {"draw_fraction": 10**350},
        {"settled": {}},
        {"replay_difference": "{{7*7}}"},
        {"search_seconds": {}},
    ],
)
def test_a_damaged_cell_counts_as_not_done(tmp_path: Path, changes: dict[str, object]) -> None:
    assert "no cell of the sweep" in reported_sweep(tmp_path, {"a": CELL}, {"a": DONE | changes})


def test_a_sound_sweep_is_reported(tmp_path: Path) -> None:
    ticket = DONE | {"search_seconds": None, "replay_difference": None, "settled": True}
    assert reported_sweep(tmp_path, {"a": CELL, "b": TICKET}, {"a": DONE, "b": ticket}) == ""


def test_cells_of_two_metrics_make_no_table(tmp_path: Path) -> None:
    other = DONE | {"metric": "f1", "f1": 80.0}
    said = reported_sweep(tmp_path, {"a": CELL, "b": TICKET}, {"a": DONE, "b": other})
    assert "judged by accuracy and f1" in said


def test_a_planned_length_that_lies_costs_no_memory(run: Path) -> None:
    description = run / "search" / "trajectory" / "trajectory.json"
    description.write_text(json.dumps(json.loads(description.read_text()) | {"total_steps": 1 << 53}))
    assert called("figures", run, "--figure=criteria") == ""


def test_blocks_of_no_units_have_nothing_to_show(run: Path) -> None:
    record = run / "search" / "trajectory"
    shape = Shape({"heads": (0, 0), "neurons": (4, 4)}, ("deviation",), 40)
    shutil.rmtree(record)
    with TrajectoryWriter(record, shape, chunk_steps=10) as writer:
        for step in range(40):
            neurons = np.random.default_rng(step).normal(0, 1e-3, (2, 4)).astype(np.float32)
            writer.append({("heads", "deviation"): np.zeros((2, 0), np.float32), ("neurons", "deviation"): neurons})
    (run / "draw.json").unlink()
    called("report", run)
    called("figures", run, *(f"--figure={name}" for name in FIGURES))
