"""A run that is killed at random moments, again and again, ends as one that nobody disturbed."""

from __future__ import annotations

import errno
import multiprocessing
import random
import shutil
import signal
import sys
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file
from transformers import PreTrainedModel

from earlybird.cli import main
from earlybird.recipes.stages import search
from earlybird.recipes.stages.job import Job
from earlybird.search.search import Search

pytestmark = pytest.mark.thorough

KILLS = 12
RECIPE = [
    "digits",
    "training.epochs=3",
    "training.batch_size=128",
    "search.detector=hamming",
    "retraining.weights=both",
]


def run(directory: Path) -> None:
    """The command, in a process of its own."""
    sys.argv = ["earlybird", "run", *RECIPE, "search.record=all", f"output={directory}", "--json"]
    main()


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> ForkServerContext:
    """Processes that start with everything imported, and compute with one thread."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["earlybird.recipes.stages.run", "earlybird.cli", "matplotlib.pyplot"])
    return context


def outcome(directory: Path) -> dict[str, bytes]:
    """What must not depend on interruptions: draw, tickets, evidence, and all weights to the bit."""
    files = [directory / name for name in ("draw.json", "ticket.json", "random.json")]
    files += [path for path in directory.glob("search/trajectory/*") if path.suffix != ".jsonl"]
    found = {str(path.relative_to(directory)): path.read_bytes() for path in files}
    for path in directory.glob("**/model.safetensors"):
        for name, tensor in load_file(path).items():
            found[f"{path.relative_to(directory)} {name}"] = tensor.tobytes()
    return found


def seconds_until_done(processes: ForkServerContext, directory: Path) -> float:
    """Run the command to its end."""
    begun = time.monotonic()
    process = processes.Process(target=run, args=(directory,))
    process.start()
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - begun


def assert_same(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    assert set(found) == set(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


def test_kill_nine_at_random_moments(processes: ForkServerContext, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    taken = seconds_until_done(processes, whole)
    starting = seconds_until_done(processes, whole)  # nothing is left to do
    expected = outcome(whole)
    moments = random.Random(0)
    finished: list[int] = []
    while len(finished) < KILLS:
        process = processes.Process(target=run, args=(killed,))
        process.start()
        # The first ones before anything is trained, the others somewhere in the next fifth of the run.
        early = len(finished) < 3
        process.join(moments.random() * starting if early else starting + moments.random() * taken / 5)
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            finished.append(sum(1 for _ in killed.glob("**/result.json")))
            continue
        # Done before its kill: the others are for a run that begins anew.
        assert process.exitcode == 0
        assert_same(outcome(killed), expected)
        shutil.rmtree(killed)
        taken, starting = 0.75 * taken, 0.75 * starting
    seconds_until_done(processes, killed)
    assert len(set(finished)) > 2, f"all kills met the same stages: {finished}"
    assert_same(outcome(killed), expected)


def test_a_disk_that_is_full_for_a_while_costs_nothing_that_was_saved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In this process: a disk cannot be filled at a given checkpoint from outside."""
    recipe = [*RECIPE, "search.to_the_end=true", "training.checkpoint_every=4", "dense=false", "random=false"]
    begun: list[Path | None] = []
    plain_search, plain_save = search.attached_search, torch.save

    def noticed(job: Job, model: PreTrainedModel, record: Path, state: Path | None) -> Search:
        begun.append(state)
        return plain_search(job, model, record, state)

    def full(content: Any, path: str) -> None:
        if Path(path).parent.name == "checkpoint-8":
            Path(path).write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        plain_save(content, path)

    def command(directory: Path) -> int:
        monkeypatch.setattr(sys, "argv", ["earlybird", "run", *recipe, f"output={directory}", "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    monkeypatch.setattr(search, "attached_search", noticed)
    assert command(tmp_path / "whole") == 0
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        assert command(tmp_path / "run") == 1
    assert command(tmp_path / "run") == 0
    last = tmp_path / "run" / "search" / "checkpoints" / "checkpoint-4"
    assert begun == [None, None, last / "earlybird-search.safetensors"]
    assert_same(outcome(tmp_path / "run"), outcome(tmp_path / "whole"))
