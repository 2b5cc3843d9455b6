"""How soon units are ranked well by gradients squared per example, against those of a whole batch: a table.

    python benchmarks/detectors/per_example.py RECIPE KEY=VALUE ... --steps 360 --output DIRECTORY

A step's gradient of a coefficient is a mean over the examples of the batch, and its square holds one chance number a
step. Squared per example before they are summed (the Fisher information as Kwon et al. take it, arXiv 2204.09656), the
same batch holds as many numbers as examples. Both are read here from one training, without a change to it, at the
inputs of the output projections. What the mask of the recent half of the first n steps captures is judged by the batch
squares of the last two thirds of the steps: 1 is their own choice, 0 a random one. Writes per-example.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel, TrainerCallback

from earlybird.anatomy import Anatomy
from earlybird.criteria import captured_by
from earlybird.masks import MaskRule
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.search import attached_search
from earlybird.recipes.training import planned_steps, schedule_of, train
from earlybird.search.search import Search
from earlybird.vocabulary import KINDS, Kind

STEPS = (8, 12, 16, 20, 26, 32, 38, 46, 56, 68, 82, 100, 120)


class Squares(TrainerCallback):
    """Keeps of every step and unit the square of the batch's gradient, and the sum of its examples' squares."""

    def __init__(self, search: Search, model: PreTrainedModel, steps: int) -> None:
        self.search, self.steps = search, steps
        self.newest: dict[tuple[Kind, int], NDArray[np.float64]] = {}
        self.kept: dict[Kind, list[NDArray[np.float64]]] = {kind: [] for kind in KINDS}
        anatomy = Anatomy.of(model)
        modules = dict(model.named_modules())
        self.blocks = {"heads": len(anatomy.attention), "neurons": len(anatomy.mlp)}
        for layer, attention in enumerate(anatomy.attention):
            modules[attention.output].register_forward_pre_hook(self._reader("heads", layer, attention.units))
        for layer, mlp in enumerate(anatomy.mlp):
            modules[mlp.output].register_forward_pre_hook(self._reader("neurons", layer, mlp.units))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the step."""
        self.search.step()
        for kind, count in self.blocks.items():
            self.kept[kind].append(np.stack([self.newest[kind, layer] for layer in range(count)], 1))
        control.should_training_stop = self.search.steps >= self.steps

    def _reader(self, kind: Kind, layer: int, units: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def read(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            features = inputs[0]
            if not (module.training and features.requires_grad):
                return
            values = features.detach()

            def squares(gradient: Tensor) -> None:
                products = (values * gradient).sum(1)  # over the tokens: (examples, features)
                of_units = products.unflatten(1, (units, -1)).sum(-1).double()
                both = (of_units.sum(0) ** 2, (of_units**2).sum(0))
                self.newest[kind, layer] = np.stack([one.cpu().numpy() for one in both])

            features.register_hook(squares)

        return read


def main() -> None:
    """Train up to the last step, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--heads", type=float, default=0.4)
    parser.add_argument("--neurons", type=float, default=0.63)
    parser.add_argument("--steps", type=int, default=360)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_intermixed_args()
    job = Job.begin(read_recipe(arguments.recipe, [*arguments.overrides, f"output={arguments.output / 'run'}"]))
    model = job.initial_model()
    anatomy = Anatomy.of(model)
    readers: list[Squares] = []

    def attach(state: Path | None) -> tuple[Search, TrainerCallback]:
        search = attached_search(job, model, job.files.trajectory, None)
        readers.append(Squares(search, model, arguments.steps))
        return search, readers[0]

    settings = job.recipe.training
    train(
        job.recipe, settings, job.task, model, job.files.search, stage="search",
        schedule=schedule_of(job.task, settings), steps=planned_steps(job.task, settings), attach=attach,
    )  # fmt: skip
    readers[0].search.close()
    squares = {kind: np.stack(kept) for kind, kept in readers[0].kept.items()}
    rules = {
        f"{kind}, {scope}": (kind, MaskRule(ratio, scope, anatomy.units[kind]))
        for kind, ratio in (("heads", arguments.heads), ("neurons", arguments.neurons))
        for scope in ("layer", "global")
    }
    text = table(squares, rules)
    (arguments.output / "per-example.md").write_text(text, encoding="utf-8")
    print(text, end="")


def table(squares: dict[Kind, NDArray[np.float64]], rules: dict[str, tuple[Kind, MaskRule]]) -> str:
    """Markdown: captured by the batch's squares / by the examples'."""
    lines = [f"| steps | {' | '.join(rules)} |", "| --- " * (len(rules) + 1) + "|"]
    for steps in STEPS:
        cells = []
        for kind, rule in rules.values():
            later = squares[kind][len(squares[kind]) // 3 :, 0].mean(0)
            recent = squares[kind][steps // 2 : steps].mean(0)
            batch, examples = (float(captured_by(rule, rule.masks(one), later)) for one in recent)
            cells.append(f"{batch:.2f} / {examples:.2f}")
        lines.append(f"| {steps} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
