"""The loss that a compensated cut would cost at each of some steps of a dense training, as one more series to draw by.

    python benchmarks/detectors/damage.py RECIPE KEY=VALUE ... --ratio 0.5 --at 20,45,90,180,260 --output DIRECTORY

At each step the units are ranked by the mean squared gradient of the recent half of the steps, a copy of the model is
pruned and refitted on 16 training batches, and its loss on 16 other training batches is compared with the whole
model's. Beside it: the cut without a refit, a random one refitted, the statistic of `recent-half-capture`, and what the
mask captures of the last recorded half. The training goes on to the last of the steps. Writes damage.json and .md.
"""

from __future__ import annotations

import argparse
import copy
import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import TrainerCallback

from earlybird.anatomy import Anatomy
from earlybird.config import PruningConfig
from earlybird.criteria import captured_by
from earlybird.masks import MaskRule
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.run_directory import write_json
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.search import attached_search
from earlybird.recipes.training import planned_steps, schedule_of, train
from earlybird.search.search import Search
from earlybird.slimming import scaling
from earlybird.surgery.prune import prune
from earlybird.ticket import Ticket
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import Kind

_BATCHES = 16


class Damage(TrainerCallback):
    """Drives the search, and looks at some steps at what a cut would cost."""

    def __init__(self, search: Search, job: Job, record: Path, steps: Sequence[int]) -> None:
        self.search, self.job, self.record, self.steps = search, job, record, steps
        batches = _batches(job, 2 * _BATCHES)
        self.refit_on = [functools.partial(job.task.predict, batch=batch) for batch in batches[:_BATCHES]]
        self.judged_on = batches[_BATCHES:]
        self.rows: list[dict[str, Any]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Observe; at one of the steps, cut a copy."""
        self.search.step()
        if self.search.steps in self.steps:
            start = time.perf_counter()
            with torch.random.fork_rng():
                self.rows.append({"steps": self.search.steps, **self._look(kwargs["model"])})
            self.rows[-1]["look_seconds"] = time.perf_counter() - start
            print(self.rows[-1], flush=True)
        control.should_training_stop = self.search.steps >= self.steps[-1]

    def _look(self, model: nn.Module) -> dict[str, float]:
        self.search.flush()
        squares = {
            kind: Trajectory.open(self.record).evidence(kind, "gradient") ** 2 for kind in self.search.anatomy.units
        }
        rules = self.search.detection.streams.kinds
        masks = {kind: rules[kind].masks(recent(squares[kind])) for kind in rules}
        whole = copy.deepcopy(model)
        scaling.fold(whole)
        anatomy = Anatomy.of(whole)
        ticket = Ticket.of(anatomy, masks, how="given", chosen_by="recent half", draw_step=self.search.steps - 1)
        config = self.search.config
        chance = Ticket.random(anatomy, PruningConfig(heads=config.heads, neurons=config.neurons), seed=0)
        return {
            "dense": self._loss(whole),
            "refitted": self._loss(prune(copy.deepcopy(whole), ticket, compensate=self.refit_on)),
            "plain": self._loss(prune(copy.deepcopy(whole), ticket)),
            "random, refitted": self._loss(prune(whole, chance, compensate=self.refit_on)),
            **{f"statistic, {kind}": statistic(rules[kind], squares[kind]) for kind in rules},
        }

    @torch.no_grad()
    def _loss(self, model: nn.Module) -> float:
        model.eval()
        return float(np.mean([float(self.job.task.loss(model, batch)) for batch in self.judged_on]))


def recent(squares: NDArray[np.floating]) -> NDArray[np.float64]:
    """The mean of the recent half of the steps, (layers, units)."""
    return np.asarray(squares[len(squares) // 2 :].mean(0, dtype=np.float64))


def statistic(rule: MaskRule, squares: NDArray[np.floating]) -> float:
    """What `recent-half-capture` looks at after these steps."""
    begin = len(squares) // 2
    middle = begin + (len(squares) - begin) // 2
    earlier, later = squares[begin:middle].mean(0, dtype=np.float64), squares[middle:].mean(0, dtype=np.float64)
    return float(captured_by(rule, rule.masks(earlier), later))


def _batches(job: Job, count: int) -> list[dict[str, torch.Tensor]]:
    size = job.recipe.training.batch_size
    order = torch.randperm(len(job.task.train), generator=torch.Generator().manual_seed(1)).tolist()
    return [
        job.task.collate([job.task.train[place] for place in order[first : first + size]])
        for first in range(0, count * size, size)
    ]


def main() -> None:
    """Train up to the last step, looking on the way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--ratio", type=float, default=0.5)
    parser.add_argument("--at", default="20,30,45,65,90,130,180,260", help="steps taken before each look")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_intermixed_args()
    steps = [int(step) for step in arguments.at.split(",")]
    ratios = [f"search.heads={arguments.ratio}", f"search.neurons={arguments.ratio}"]
    own = ["search.score=squared-gradient", "search.record=all", f"output={arguments.output / 'run'}"]
    job = Job.begin(read_recipe(arguments.recipe, [*arguments.overrides, *ratios, *own]))
    model, record = job.initial_model(), job.files.trajectory
    looks: list[Damage] = []

    def attach(state: Path | None) -> tuple[Search, TrainerCallback]:
        search = attached_search(job, model, record, None)
        looks.append(Damage(search, job, record, steps))
        return search, looks[0]

    settings = job.recipe.training
    train(
        job.recipe, settings, job.task, model, job.files.search, stage="search",
        schedule=schedule_of(job.task, settings), steps=planned_steps(job.task, settings), attach=attach,
    )  # fmt: skip
    rows, search = looks[0].rows, looks[0].search
    search.close()
    last = {
        kind: recent(Trajectory.open(record).evidence(kind, "gradient") ** 2) for kind in search.detection.streams.kinds
    }
    for row in rows:
        for kind, rule in search.detection.streams.kinds.items():
            seen = Trajectory.open(record).evidence(kind, "gradient")[: row["steps"]] ** 2
            row[f"captured, {kind}"] = float(captured_by(rule, rule.masks(recent(seen)), last[kind]))
    write_json(arguments.output / "damage.json", rows)
    text = table(rows)
    (arguments.output / "damage.md").write_text(text, encoding="utf-8")
    print(text, end="")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: losses above the whole model's."""
    kinds: tuple[Kind, ...] = ("heads", "neurons")
    headings = ["steps", "whole model's loss", "refitted", "plain", "random, refitted"]
    headings += [f"{what}, {kind}" for what in ("statistic", "captured") for kind in kinds]
    lines = [f"| {' | '.join(headings)} | seconds |", "| --- " * (len(headings) + 1) + "|"]
    for row in rows:
        cells = [str(row["steps"]), f"{row['dense']:.3f}"]
        cells += [f"{row[name] - row['dense']:+.3f}" for name in headings[2:5]]
        cells += [f"{row[name]:.2f}" for name in headings[5:]]
        lines.append(f"| {' | '.join(cells)} | {row['look_seconds']:.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
