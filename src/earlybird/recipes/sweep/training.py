"""One training for the cells that it serves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from earlybird.recipes.run_directory import RESULT, RunDirectory
from earlybird.recipes.stages.dense import train_dense
from earlybird.recipes.stages.prune import prune_run
from earlybird.recipes.stages.retrain import retrain
from earlybird.recipes.sweep.directory import SweepDirectory
from earlybird.recipes.sweep.outcome import guarded, is_settled, open_run, write_done
from earlybird.recipes.sweep.plan import Cell


def train_cells(files: SweepDirectory, cells: Sequence[Cell], *, keep_models: bool) -> None:
    """Train the network that all these cells stand for, and write down what each gave.

    Args:
        files: the sweep's.
        cells: one dense cell, or cells with the same network and the same training.
        keep_models: keep the weights; otherwise only what they gave stays.
    """
    with guarded(files, [cell for cell in cells if not is_settled(files, cell)]):
        first = next((cell for cell in cells if (_trained(cell) / RESULT).is_file()), cells[0])
        job, fresh = open_run(first.recipe), not (_trained(first) / RESULT).is_file()
        if first.which == "dense":
            # Where a search served as the dense training, no weights were kept.
            train_dense(job, force=keep_models and not fresh and not (_trained(first) / "model").is_dir())
        elif fresh:
            prune_run(job, first.weights, first.which)
            retrain(job, first.weights, first.which)
        for cell in cells:
            if not _trained(cell).exists():
                _trained(cell).parent.mkdir(parents=True, exist_ok=True)
                _trained(cell).symlink_to(os.path.relpath(_trained(first), _trained(cell).parent))
            if not is_settled(files, cell):
                write_done(files, cell)
        if fresh and not keep_models:
            shutil.rmtree(_trained(first) / "model")
            for made in [job.files.initial] if first.which == "dense" else [job.files.root / "pruned"]:
                shutil.rmtree(made)


def _trained(cell: Cell) -> Path:
    files = RunDirectory(Path(cell.recipe.output))
    return files.dense if cell.which == "dense" else files.trained(cell.weights, cell.which)
