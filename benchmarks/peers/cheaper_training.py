"""What anybody can do to pay less, without any search: train for fewer steps, without layers, or prune at the end.

    python benchmarks/peers/cheaper_training.py RECIPE KEY=VALUE ... --peer half-the-steps --peer lower-layers
        --peer every-second-layer --peer pruned-at-the-end --ratio 0.5 --seeds 3 --output DIRECTORY

half-the-steps        the dense network, by the whole schedule, made half as long
lower-layers          the lower half of the layers, dropped before training (Sajjad et al., arXiv 2004.03844: top-layer
                      dropping); every-second-layer is their alternate dropping
pruned-at-the-end     dense training to its end, then half of the units by squared gradients of 32 training batches,
                      refitted, and no step after that (Kwon et al., arXiv 2204.09656)

All train by the code that trains a recipe's networks, with its schedule, seeds and order of the data. Finished
trainings are kept; the rows are printed and written as DIRECTORY/results.json.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, TrainingArguments

from earlybird.checkpoint.load import load
from earlybird.config import replaced_pruning
from earlybird.recipes.clock import TrainingClock
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.run_directory import RESULT, read_json, write_json
from earlybird.recipes.settings import Recipe
from earlybird.recipes.stages.dense import train_dense
from earlybird.recipes.stages.job import Job
from earlybird.recipes.trainer import RecipeTrainer
from earlybird.search.search import Search
from earlybird.surgery.prune import prune
from earlybird.ticket import Ticket

_SCORING_BATCHES = 32


def half_the_steps(recipe: Recipe, ratio: float) -> dict[str, Any]:
    """The dense network, trained half as long."""
    whole = recipe.training
    shorter = whole.model_copy(update={"epochs": whole.epochs / 2, "warmup_epochs": whole.warmup_epochs / 2})
    return _trained(Job.begin(recipe.model_copy(update={"training": shorter})))


def lower_layers(recipe: Recipe, ratio: float) -> dict[str, Any]:
    """Without the upper half of the layers."""
    return _without_layers(recipe, lambda count: range(count - count // 2))


def every_second_layer(recipe: Recipe, ratio: float) -> dict[str, Any]:
    """Without every second layer, the second, the fourth, and so on."""
    return _without_layers(recipe, lambda count: range(0, count, 2))


def pruned_at_the_end(recipe: Recipe, ratio: float) -> dict[str, Any]:
    """Trained densely, then cut and refitted."""
    if not recipe.search.compensation:
        raise SystemExit("pruned-at-the-end is refitted: give search.compensation=16")
    job = Job.begin(recipe)
    dense = _trained(job)
    done = job.files.root / f"pruned-{ratio}.json"
    if not done.is_file():
        start = time.perf_counter()
        model = load(job.files.dense / "model")
        batches = _batches(job, max(_SCORING_BATCHES, recipe.search.compensation))
        ticket = _ticket_by_gradients(job, model, batches[:_SCORING_BATCHES], ratio)
        prune(model, ticket, compensate=_calls(job, batches[: recipe.search.compensation]))
        spent = {"choosing_seconds": time.perf_counter() - start, "batches": _SCORING_BATCHES}
        spent |= {"refit_batches": recipe.search.compensation, "ratio": ratio}
        write_json(done, {**_evaluated(job, model), **job.costs(model), **spent})
    return {**dense, **read_json(done), "dense_steps": dense["steps"], "steps": 0}


PEERS: dict[str, Callable[[Recipe, float], dict[str, Any]]] = {
    "half-the-steps": half_the_steps,
    "lower-layers": lower_layers,
    "every-second-layer": every_second_layer,
    "pruned-at-the-end": pruned_at_the_end,
}


def _trained(job: Job) -> dict[str, Any]:
    train_dense(job)
    return read_json(job.files.dense / RESULT)


def _without_layers(recipe: Recipe, kept: Callable[[int], Sequence[int]]) -> dict[str, Any]:
    job = Job.begin(recipe)
    if not job.files.initial.is_dir():
        model = job.task.initial_model()
        count = model.config.num_hidden_layers
        stacks = [
            name for name, module in model.named_modules() if isinstance(module, nn.ModuleList) and len(module) == count
        ]
        if len(stacks) != 1:
            raise SystemExit(f"one stack of {count} layers is looked for, there are {len(stacks)}: {stacks}")
        parent, _, attribute = stacks[0].rpartition(".")
        layers = model.get_submodule(stacks[0])
        setattr(model.get_submodule(parent), attribute, nn.ModuleList(layers[index] for index in kept(count)))
        model.config.num_hidden_layers = len(kept(count))
        job.save(model, job.files.initial)
    return _trained(job)


def _batches(job: Job, count: int) -> list[dict[str, torch.Tensor]]:
    size = job.recipe.training.batch_size
    order = torch.randperm(len(job.task.train), generator=torch.Generator().manual_seed(job.recipe.seed)).tolist()
    return [
        job.task.collate([job.task.train[place] for place in order[first : first + size]])
        for first in range(0, min(count * size, len(order)), size)
    ]


def _ticket_by_gradients(
    job: Job, model: PreTrainedModel, batches: Sequence[dict[str, torch.Tensor]], ratio: float
) -> Ticket:
    last = (len(batches) - 0.5) / len(batches)
    own = job.recipe.search_config.with_detector("fixed-time")
    amount = replaced_pruning(own, {"heads": ratio, "neurons": ratio, "heads_scope": "global"})
    config = replace(own, **amount, score="squared-gradient", threshold=last)
    search = Search(model.eval(), config, total_steps=len(batches))
    for batch in batches:
        job.task.loss(model, batch).backward()
        search.step()
        model.zero_grad()
    search.finish()
    assert search.ticket is not None
    return search.ticket


def _calls(job: Job, batches: Sequence[dict[str, torch.Tensor]]) -> list[Callable[[nn.Module], Any]]:
    return [functools.partial(job.task.predict, batch=batch) for batch in batches]


def _evaluated(job: Job, model: PreTrainedModel) -> dict[str, float]:
    arguments = TrainingArguments(
        output_dir=str(job.files.root / "evaluation"),
        per_device_eval_batch_size=job.recipe.training.eval_batch_size,
        use_cpu=not torch.accelerator.is_available(),
        report_to=[],
        disable_tqdm=True,
    )
    return RecipeTrainer(model=model, args=arguments, task=job.task, search=None, clock=TrainingClock()).metrics()


def main() -> None:
    """Every peer and seed, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--peer", choices=list(PEERS), action="append", required=True)
    parser.add_argument("--ratio", type=float, default=0.5, help="of the units that pruned-at-the-end prunes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_intermixed_args()
    kept = arguments.output / "results.json"
    done = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else []
    rows = [row for row in done if row["draw"] not in arguments.peer]
    for peer in arguments.peer:
        for seed in range(arguments.seeds):
            root = arguments.output / f"{peer}-seed{seed}"
            recipe = read_recipe(arguments.recipe, [*arguments.overrides, f"seed={seed}", f"output={root}"])
            rows.append({"draw": peer, "seed": seed, **PEERS[peer](recipe, arguments.ratio)})
            write_json(kept, rows)
        values = [row[row["metric"]] for row in rows if row["draw"] == peer]
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        print(
            f"{peer}: {rows[-1]['metric']} {statistics.mean(values):.1f}{spread} over {len(values)} seeds", flush=True
        )


if __name__ == "__main__":
    main()
