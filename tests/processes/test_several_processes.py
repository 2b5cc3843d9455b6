"""Two processes on a CPU draw what one draws, by DDP and by FSDP2; what dies with one of them can go on."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from two_processes import TORCHRUN, started

from earlybird import Ticket
from earlybird.trajectory import Trajectory

WORKER = Path(__file__).parent / "worker.py"
ACCELERATE = [
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
]
LAUNCHERS = {"alone": [], "ddp": ACCELERATE, "fsdp": TORCHRUN}


def launch(directory: Path, how: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return started([*LAUNCHERS[how], WORKER, directory, how, *arguments])


def outcomes(directory: Path, how: str, *arguments: str) -> list[dict[str, Any]]:
    directory.mkdir(exist_ok=True)
    result = launch(directory, how, *arguments)
    assert result.returncode == 0, result.stderr
    files = sorted(directory.glob("process-*.json"))
    assert len(files) == (1 if how == "alone" else 2)
    return [json.loads(file.read_text()) for file in files]


def masks(directory: Path, rank: int) -> Any:
    return {kind: mask.tolist() for kind, mask in Ticket.load(directory / f"ticket-{rank}.json").masks.items()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    directory = tmp_path_factory.mktemp("alone")
    (outcome,) = outcomes(directory, "alone")
    assert outcome["settled"]
    return directory, outcome


@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_every_process_draws_what_one_alone_draws(how, alone, tmp_path):
    first, second = outcomes(tmp_path, how)

    assert first["step"] == second["step"] == alone[1]["step"]
    assert masks(tmp_path, 0) == masks(tmp_path, 1) == masks(alone[0], 0)
    assert first["recorded"] == alone[1]["recorded"] == 60
    assert not (tmp_path / "record-of-another").exists()
    for outcome in (first, second):
        assert outcome["settled"]
        assert outcome["folding"] < 1e-6
        assert outcome["pruning"] < 1e-6
        if how == "fsdp":
            assert "FSDP" in outcome["refusal"]


@pytest.mark.thorough
def test_with_dropout_by_different_seeds_every_process_draws_the_same_by_a_gradient_score(tmp_path):
    first, second = outcomes(tmp_path, "ddp", "--dropout", "0.1", "--score", "squared-gradient")

    assert first["step"] == second["step"]
    assert masks(tmp_path, 0) == masks(tmp_path, 1)


@pytest.mark.thorough
def test_a_step_that_overflows_in_one_process_is_skipped_in_all_of_them(tmp_path):
    arguments = ("--score", "squared-gradient", "--overflow-at", "7")
    (alone,) = outcomes(tmp_path / "alone", "alone", *arguments)
    assert alone["recorded"] == 59
    for how in ("ddp", "fsdp"):
        first, second = outcomes(tmp_path / how, how, *arguments)
        assert first["step"] == second["step"] == alone["step"]
        assert masks(tmp_path / how, 0) == masks(tmp_path / how, 1) == masks(tmp_path / "alone", 0)
        assert first["recorded"] == 59


@pytest.mark.thorough
def test_what_ended_with_one_process_goes_on(alone, tmp_path):
    result = launch(tmp_path, "ddp", "--die-at", "47")

    assert result.returncode != 0
    # The launcher has ended the other one, not its own patience.
    assert "Timeout" not in result.stderr
    assert not list(tmp_path.glob("process-*.json"))
    first, second = outcomes(tmp_path, "ddp")
    assert first["from"] == second["from"] == 40
    assert first["step"] == second["step"] == alone[1]["step"]
    assert masks(tmp_path, 0) == masks(tmp_path, 1) == masks(alone[0], 0)
    assert first["recorded"] == 60


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_what_diverges_in_one_process_ends_all_of_them(how, tmp_path):
    first, second = outcomes(tmp_path, how, "--diverge-at", "7")

    assert first == second
    assert "step 7" in first["diverged"]
    assert Trajectory.open(tmp_path / "trajectory").steps == 7


@pytest.mark.thorough
def test_the_trainer_script_runs_in_two_processes(tmp_path):
    script = Path(__file__).parents[2] / "examples" / "hugging_face_trainer.py"
    result = started([*TORCHRUN, WORKER.with_name("script_worker.py"), script], tmp_path)
    assert result.returncode == 0, result.stderr
    # Two processes write to one output: a line of the one may begin before the other's has ended.
    tickets = re.findall(r"Ticket: .+?, drawn at step \d+", result.stdout)
    assert len(tickets) == 2
    assert tickets[0] == tickets[1]
