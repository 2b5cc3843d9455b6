"""Two processes that continue with the small network, by DDP or FSDP2, do what one does on the same global batches."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from two_processes import TORCHRUN, started

WORKER = Path(__file__).parent / "continuing_worker.py"


def launch(directory: Path, processes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    return started([*(TORCHRUN if processes > 1 else []), WORKER, directory, *arguments])


def outcomes(directory: Path, processes: int, *arguments: object) -> list[dict[str, Any]]:
    result = launch(directory, processes, *arguments)
    assert result.returncode == 0, result.stderr
    files = sorted(directory.glob("process-*.json"))
    assert len(files) == processes
    return [json.loads(file.read_text()) for file in files]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return outcomes(tmp_path_factory.mktemp("alone"), 1, "plain", "trainer", "lightning", "rewound")[0]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    died, lived = tmp_path_factory.mktemp("died"), tmp_path_factory.mktemp("lived")
    assert launch(died, 2, "trainer", "--die-at", "25").returncode != 0
    assert not list(died.glob("process-*.json"))
    loops = ("trainer", "resumed", "rewound", "plain", "plain-static", "plain-views", "fsdp", "refusals", "lightning")
    return outcomes(lived, 2, *loops, "--died", died)


@pytest.mark.parametrize(
    ("loop", "same"),
    [
        ("trainer", "trainer"),
        ("lightning", "lightning"),
        ("plain", "plain"),
        ("plain-static", "plain"),
        ("plain-views", "plain"),
        ("fsdp", "plain"),
    ],
)
def test_two_processes_draw_cut_refit_and_train_on_as_one_does(loop, same, alone, two):
    first, second = (process[loop] for process in two)

    assert first["weights"] == second["weights"]
    assert first["masks"] == second["masks"] == alone[same]["masks"]
    assert first["step"] == alone[same]["step"] == 9
    assert first["shapes"] == alone[same]["shapes"]
    assert len(first["losses"]) == 40
    assert first["losses"] == pytest.approx(alone[same]["losses"], abs=1e-5)
    assert first["weights"] == pytest.approx(alone[same]["weights"], abs=1e-4)


def test_the_rewound_small_network_is_the_same_in_every_process_and_refitted_as_in_one(alone, two):
    for process in two:
        first, again = process["rewound"]
        assert first == again
        assert first["step"] < 15
        assert first["masks"] == alone["rewound"][0]["masks"]
        assert first["weights"] == pytest.approx(alone["rewound"][0]["weights"], abs=1e-4)


def test_what_died_after_the_cut_goes_on_in_two_processes(alone, two):
    first, second = (process["resumed"] for process in two)
    assert first["weights"] == second["weights"]
    assert first["losses"] == pytest.approx(alone["trainer"]["losses"][16:], abs=1e-5)
    assert first["weights"] == pytest.approx(alone["trainer"]["weights"], abs=1e-4)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("length", "total_steps is 40 in process 0 and 41 in process 1"),
        ("config", "heads is 0.5 in process 0 and 0.25 in process 1"),
        ("record", "recording is given in process 0 and not given in process 1"),
        ("disk", "not-mounted"),
        ("ticket", "the ticket is"),
        ("one-sided", "compensate is given, with ridge=0.1"),
        ("invalid", "detector is 'fixed-time' in process 0 and 'no-such' in process 1"),
        ("own-optimizer", "LBFGS keeps"),
        ("batches", "compensate holds no batches"),
        ("class", "OwnWrapper is not torch's DistributedDataParallel itself"),
        ("hook", "keeps a PowerSGDState"),
    ],
)
def test_processes_that_do_not_agree_end_together_in_one_sentence(what, words, two):
    for process in two:
        told = process["refusals"][what]
        assert told.startswith(("InputError: ", "CannotCompensateError: "))
        assert words in told


def test_a_refusal_leaves_the_wrapper_to_be_pruned_and_nothing_holds_what_is_removed(two):
    for process in two:
        assert process["refusals"]["pruned"] == "done"
        assert process["refusals"]["freed"]


def test_a_cut_leaves_each_process_the_buffers_that_ddp_does_not_share(two):
    assert [process["refusals"]["buffer"] for process in two] == [0.0, 0.0]
