"""Two processes that continue with the small network, by DDP, do what one does on the same global batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

WORKER = Path(__file__).parent / "continuing_worker.py"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def launch(directory: Path, loop: str, how: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    directory.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, *(TORCHRUN if how != "alone" else []), str(WORKER), str(directory), loop, how, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def outcomes(directory: Path, loop: str, how: str, *arguments: str) -> list[dict[str, Any]]:
    result = launch(directory, loop, how, *arguments)
    assert result.returncode == 0, result.stderr
    files = sorted(directory.glob("process-*.json"))
    assert len(files) == (1 if how == "alone" else 2)
    return [json.loads(file.read_text()) for file in files]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return {loop: outcomes(tmp_path_factory.mktemp(loop), loop, "alone")[0] for loop in ("plain", "trainer")}


@pytest.mark.parametrize(
    ("loop", "settings"), [("plain", "default"), ("plain", "static"), ("plain", "views"), ("trainer", "default")]
)
def test_ddp_draws_cuts_refits_and_trains_on_as_one_process_does(loop, settings, alone, tmp_path):
    first, second = outcomes(tmp_path, loop, "ddp", "--settings", settings)

    assert first["weights"] == second["weights"]
    assert first["masks"] == second["masks"] == alone[loop]["masks"]
    assert first["step"] == alone[loop]["step"] == 9
    assert first["parameters"] == alone[loop]["parameters"]
    assert len(first["losses"]) == 40
    assert first["losses"] == pytest.approx(alone[loop]["losses"], abs=1e-5)
    assert first["weights"] == pytest.approx(alone[loop]["weights"], abs=1e-4)


def test_what_died_after_the_cut_goes_on_in_two_processes(alone, tmp_path):
    result = launch(tmp_path, "trainer", "ddp", "--die-at", "25")
    assert result.returncode != 0
    assert not list(tmp_path.glob("process-*.json"))

    first, second = outcomes(tmp_path, "trainer", "ddp", "--resume")
    assert first["weights"] == second["weights"]
    assert first["losses"] == pytest.approx(alone["trainer"]["losses"][16:], abs=1e-5)
    assert first["weights"] == pytest.approx(alone["trainer"]["weights"], abs=1e-4)
