"""A sweep whose processes are killed, run as a person runs it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec

import pytest
import torch

from earlybird.recipes.run_directory import read_json
from earlybird.recipes.sweep.begin import begin_sweep
from earlybird.recipes.sweep.directory import SweepDirectory
from earlybird.recipes.sweep.engines import Engine
from earlybird.recipes.sweep.plan import plan_sweep
from earlybird.recipes.sweep.run import run_sweep
from earlybird.recipes.sweep.settings import sweep_settings

pytestmark = pytest.mark.thorough

RECIPE = [
    "digits",
    "training.epochs=4",
    "training.warmup_epochs=1",
    "data.train_limit=320",
    "model.layers=2",
    "model.hidden=32",
    "model.neurons=32",
    "search.detector=hamming",
    "training.checkpoint_every=2",
]
ASKED = ["--detector", "hamming", "--draw-at", "50%", "--weights", "rewind,continue"]


def begun(*arguments, cwd, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "earlybird", "sweep", *RECIPE, *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def numbers(sweep):
    """What does not depend on the clock, by cell."""
    cells = {path.parent.name: read_json(path) for path in sweep.glob("cells/*/cell.json")}
    keys = ("status", "accuracy", "parameters", "draw_step", "settled", "replay_difference")
    return {name: {key: cell.get(key) for key in keys} for name, cell in cells.items()}


def test_a_sweep_survives_the_loss_of_its_workers_and_its_own(tmp_path):
    root = tmp_path / "sweep"
    process = begun(*ASKED, "--output", "sweep", "--workers", "2", cwd=tmp_path)

    def found(pattern):
        while process.poll() is None and not list(root.glob(pattern)):
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
        return {int(path.stem.removeprefix("worker-")) for path in root.glob("logs/*.log")}

    first = found("searches/*/search/checkpoints/*/earlybird-clock.json")
    assert len(first) == 1
    os.kill(*first, signal.SIGKILL)
    others = found("cells/*/trained/*/ticket/checkpoints/*/earlybird-clock.json") - first
    assert others
    # Workers do not outlive their sweep, so that none writes beside the next one's.
    handles = []
    for worker in others:
        with suppress(ProcessLookupError):  # the one that went on alone has ended with its pool
            handles.append(os.pidfd_open(worker))
    assert handles
    process.kill()
    process.communicate()
    for handle in handles:
        assert select.select([handle], [], [], 60)[0]
        os.close(handle)
    assert not (root / "results.json").exists()

    resumed = begun(*ASKED, "--output", "sweep", "--json", cwd=tmp_path)
    output, errors = resumed.communicate()
    assert resumed.returncode == 0, errors
    assert json.loads(output)["notes"] == []

    # An undisturbed one gives the same.
    whole = SweepDirectory(tmp_path / "whole")
    given = {"detectors": "hamming", "draw_at": "50%", "weights": "rewind,continue"}
    plan = plan_sweep(RECIPE[0], RECIPE[1:], sweep_settings(given, []), whole.root)
    begin_sweep(whole, plan)
    threads = torch.get_num_threads()
    list(run_sweep(whole, plan, Engine(lambda: ThreadPoolExecutor(1), 1, 1)))
    torch.set_num_threads(threads)
    assert numbers(root) == numbers(whole.root)
    assert len(numbers(root)) == 4
    assert all(cell["status"] == "done" for cell in numbers(root).values())


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
def test_a_sweep_on_a_ray_of_two_workers(tmp_path):
    ray = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    process = begun("--also", "dense", "--output", "sweep", "--engine", "ray", "--workers", "2", cwd=tmp_path, **ray)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert {cell["status"] for cell in numbers(tmp_path / "sweep").values()} == {"done"}
    assert len(numbers(tmp_path / "sweep")) == 2
