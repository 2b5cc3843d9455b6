"""A run's directory as a search would leave it, without any training."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from earlybird import SearchConfig
from earlybird.detectors.draw import Draw
from earlybird.detectors.offline import detect
from earlybird.report.write import write_report
from earlybird.ticket import Ticket
from earlybird.trajectory import Shape, Trajectory, TrajectoryWriter
from earlybird.vocabulary import Kind

STEPS = 1500
UNITS: dict[Kind, tuple[int, ...]] = {"heads": (8,) * 6, "neurons": (256,) * 6}
RECIPE: dict[str, Any] = {
    "version": 1,
    "task": "image-classification",
    "output": "runs/digits",
    "seed": 0,
    "data": {"format": "digits"},
    "model": {"patch_size": 2, "image_size": 8, "layers": 6, "heads": 8, "hidden": 64, "neurons": 256},
    "training": {"epochs": 30, "batch_size": 32, "learning_rate": 1e-3},
    "search": {"heads": 0.5, "neurons": 0.5, "detector": "equivalence"},
}
SUMMARY: dict[str, Any] = {
    "earlybird": "0.1.0",
    "evaluation_examples": 540,
    "dense": {
        "accuracy": 97.6,
        "parameters": 301_066,
        "flops": 10_400_000,
        "train_seconds": 96.4,
        "train_steps": 1500,
    },
    "ticket": {
        "accuracy": 97.3,
        "parameters": 177_600,
        "flops": 6_050_000,
        "train_seconds": 50.9,
        "train_steps": 1500,
        "search_seconds": 19.8,
        "draw_step": 270,
        "draw_fraction": 0.18,
        "heads_ratio": 0.5,
        "neurons_ratio": 0.5,
        "detector": "rank-correlation",
        "how": "detector",
        "start": "rewind",
    },
    "random": {
        "accuracy": 93.1,
        "parameters": 177_600,
        "flops": 6_050_000,
        "train_seconds": 51.3,
        "train_steps": 1500,
    },
}


def _walk(kind: Kind, steps: int, seed: int = 0) -> NDArray[np.float32]:
    """Deviations from 1 (steps, layers, units): a random walk that comes to rest, as a decaying rate makes it."""
    generator = np.random.default_rng([seed, len(kind)])
    layers, width = len(UNITS[kind]), max(UNITS[kind])
    time = np.arange(STEPS)[:, None, None] / STEPS
    pull = generator.normal(-0.3, 1.0, (1, layers, width)) * (1 + 0.4 * np.arange(layers)[None, :, None] / layers)
    noise = generator.normal(0, 1.0, (STEPS, layers, width))
    increments = (0.02 * pull + 0.35 * noise) * np.exp(-5 * time) * 1e-3
    return np.cumsum(increments, axis=0)[:steps].astype(np.float32)


def _write_trajectory(root: Path, steps: int = STEPS) -> Trajectory:
    """Record the first `steps` steps of the walk."""
    directory = root / "search" / "trajectory"
    shape = Shape(UNITS, ("deviation",), STEPS, 50.0, "synthetic")
    walks = {kind: _walk(kind, steps) for kind in UNITS}
    with TrajectoryWriter(directory, shape, chunk_steps=100) as writer:
        for step in range(steps):
            writer.append({(kind, "deviation"): values[step] for kind, values in walks.items()})
    return Trajectory.open(directory)


def _write_recipe(root: Path, **changes: Any) -> None:
    """Write recipe.yaml with some top-level keys changed."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, **changes}, sort_keys=False), encoding="utf-8")


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _write_run(root: Path, steps: int = STEPS, **recipe: Any) -> Draw:
    """A finished run; its draw."""
    _write_recipe(root, **recipe)
    trajectory = _write_trajectory(root, steps)
    draw = detect(trajectory, SearchConfig(heads=0.5, neurons=0.5))
    assert draw is not None
    _write_json(
        root / "search" / "result.json",
        {"steps": steps, "total_steps": STEPS, "seconds": 19.8, "settled": True, "draw_step": draw.step},
    )
    _write_json(
        root / "draw.json",
        draw.description(),
    )
    ticket = Ticket(
        masks=draw.masks,
        units=UNITS,
        blocks={kind: tuple(f"encoder.layer.{i}.{kind}" for i in range(6)) for kind in UNITS},
        provenance={"how": "drawn", "draw_step": draw.step, "versions": {"earlybird": "0.1.0", "torch": "2.13.0"}},
    )
    ticket.save(root / "ticket.json")
    ticket.shuffled(0).save(root / "random.json")
    summary = json.loads(json.dumps(SUMMARY))
    summary["ticket"] |= {"draw_step": draw.step, "draw_fraction": draw.fraction}
    _write_json(root / "summary.json", summary)
    return draw


@pytest.fixture
def summary() -> dict[str, Any]:
    """The summary of a run whose ticket is worth something; the test's own copy."""
    return copy.deepcopy(SUMMARY)


@pytest.fixture
def write_json() -> Callable[[Path, Any], None]:
    return _write_json


@pytest.fixture
def write_recipe() -> Callable[..., None]:
    return _write_recipe


@pytest.fixture
def write_trajectory() -> Callable[..., Trajectory]:
    return _write_trajectory


@pytest.fixture
def write_run() -> Callable[..., Draw]:
    return _write_run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its report; to be read only."""
    root = tmp_path_factory.mktemp("runs") / "digits"
    _write_run(root)
    write_report(root)
    return root
