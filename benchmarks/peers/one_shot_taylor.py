"""The peer that waits for nothing: Torch-Pruning's one-shot Taylor pruning of the initial weights, trained by a recipe.

    python benchmarks/peers/one_shot_taylor.py RECIPE KEY=VALUE ... --ratio 0.5 --ratio 0.8 --seeds 3 --output DIRECTORY

Torch-Pruning (arXiv 2301.12900) chooses heads and neurons by its first-order Taylor importance over some training
batches. What it chooses is removed and trained by the code that removes and trains drawn tickets, so that nothing but
the choice differs: the same counts, the same schedule from the same weights, the same order of the data. Finished
trainings are kept, and the table is printed and written as DIRECTORY/results.json.

Needs `pip install --constraint constraints.txt torch-pruning`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch_pruning
from numpy.typing import NDArray
from torch import nn

from earlybird.anatomy import Anatomy
from earlybird.masks.counts import pruned_count
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.run_directory import RESULT, read_json, write_json
from earlybird.recipes.settings import Recipe
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.prune import prune_run
from earlybird.recipes.stages.retrain import retrain
from earlybird.ticket import Ticket
from earlybird.vocabulary import Kind, Scope


def one_shot_ticket(job: Job, batches: int) -> Ticket:
    """The units that Torch-Pruning's Taylor importance keeps at the recipe's ratios, by `batches` training batches."""
    model = job.initial_model().eval()
    anatomy = Anatomy.of(model)
    order = np.random.default_rng(job.recipe.seed).permutation(len(job.task.train))
    size = job.recipe.training.batch_size
    batch: dict[str, torch.Tensor] = {}
    for start in range(0, min(batches * size, len(order)), size):
        batch = job.task.collate([job.task.train[int(index)] for index in order[start : start + size]])
        job.task.loss(model, batch).backward()
    modules, wanted = dict(model.named_modules()), job.recipe.search
    heads = {
        modules[path]: block.units for block in anatomy.attention for path in (block.query, block.key, block.value)
    }
    widths = {modules[path] for block in anatomy.mlp for path in block.inputs}
    masks: dict[Kind, NDArray[np.bool_]] = {}
    if wanted.heads is not None:
        # Torch-Pruning rounds otherwise: at 0.8 it would leave 2 of 12 heads where a drawn ticket has 3.
        smallest = min(anatomy.units["heads"])
        share = pruned_count(wanted.heads, smallest) / smallest
        pruned = _chosen(model, batch, set(heads), heads, share, wanted.heads_scope)
        sizes = [block.unit_size for block in anatomy.attention]
        rows = [
            {row // size for row in pruned[modules[b.query]]} for b, size in zip(anatomy.attention, sizes, strict=True)
        ]
        masks["heads"] = _mask(anatomy.units["heads"], rows)
    if wanted.neurons is not None:
        pruned = _chosen(model, batch, widths, {}, wanted.neurons, wanted.neurons_scope)
        masks["neurons"] = _mask(anatomy.units["neurons"], [pruned[modules[block.inputs[0]]] for block in anatomy.mlp])
    return Ticket.of(
        anatomy, masks, how="given", chosen_by=f"Torch-Pruning {torch_pruning.__version__}, Taylor", draw_step=0
    )


def _chosen(
    model: nn.Module,
    batch: Mapping[str, torch.Tensor],
    roots: set[nn.Module],
    heads: Mapping[nn.Module, int],
    ratio: float,
    scope: Scope,
) -> dict[nn.Module, set[int]]:
    """Output rows to prune of each root module; nothing is pruned yet."""
    others = [module for module in model.modules() if isinstance(module, nn.Linear) and module not in roots]
    pruner = torch_pruning.pruner.BasePruner(
        model,
        dict(batch),
        importance=torch_pruning.importance.GroupTaylorImportance(),
        global_pruning=scope == "global",
        pruning_ratio=ratio,  # also with heads alone: at 0 it prunes no heads either
        ignored_layers=others,
        num_heads=dict(heads),
        prune_num_heads=bool(heads),
        prune_head_dims=False,
        head_pruning_ratio=ratio if heads else 0.0,
        root_module_types=[nn.Linear],
    )
    pruned: dict[nn.Module, set[int]] = {module: set() for module in roots}
    for group in pruner.step(interactive=True):
        for dependency, rows in group:
            module = dependency.target.module
            if module in pruned and pruner.DG.is_out_channel_pruning_fn(dependency.handler):
                pruned[module] |= set(rows)
    return pruned


def _mask(units: Sequence[int], pruned: Sequence[set[int]]) -> NDArray[np.bool_]:
    mask = np.arange(max(units)) < np.asarray(units)[:, None]
    for row, gone in zip(mask, pruned, strict=True):
        row[list(gone)] = False
    return mask


def trained(recipe: Recipe, batches: int) -> dict[str, Any]:
    """One ticket chosen, removed, trained; what the training gave, with the seconds that choosing took."""
    job = Job.begin(recipe)
    chosen = job.files.root / "one-shot.json"
    if not chosen.is_file():
        start = time.perf_counter()
        ticket = one_shot_ticket(job, batches)
        seconds = time.perf_counter() - start
        ticket.save(job.files.ticket("ticket"))
        taken = min(batches, -(-len(job.task.train) // recipe.training.batch_size))
        write_json(chosen, {"seconds": seconds, "batches": taken})
    prune_run(job, "rewind", "ticket")
    retrain(job, "rewind", "ticket")
    result = read_json(job.files.trained("rewind", "ticket") / RESULT)
    kept = {kind: int(mask.sum()) for kind, mask in Ticket.load(job.files.ticket("ticket")).masks.items()}
    choosing = read_json(chosen)
    return {**result, "kept": kept, "choosing_seconds": choosing["seconds"], "batches": choosing["batches"]}


def main() -> None:
    """Every ratio and seed, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--ratio", type=float, action="append", required=True, help="to prune, of heads and neurons")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=32, help="training batches that the importance is summed over")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_intermixed_args()
    rows = []
    for ratio in arguments.ratio:
        for seed in range(arguments.seeds):
            root = arguments.output / f"one-shot-taylor-{ratio}-seed{seed}"
            settings = [f"search.heads={ratio}", f"search.neurons={ratio}", f"seed={seed}", f"output={root}"]
            recipe = read_recipe(arguments.recipe, [*arguments.overrides, *settings])
            rows.append({"ratio": ratio, "seed": seed, **trained(recipe, arguments.batches)})
            (arguments.output / "results.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        values = [row[row["metric"]] for row in rows if row["ratio"] == ratio]
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        print(f"ratio {ratio}: {rows[-1]['metric']} {statistics.mean(values):.1f}{spread} over {len(values)} seeds")


if __name__ == "__main__":
    main()
