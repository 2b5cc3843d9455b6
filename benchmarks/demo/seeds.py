"""What the demo ends with, over several seeds: of the new head, the order of the images, the random ticket.

    python benchmarks/demo/seeds.py --seeds 5 --runs runs/demo-seeds --output benchmarks/results/demo [KEY=VALUE ...]

Each seed is a run of the recipe `digits-finetune`; finished ones are kept. Writes seeds.json, and the table seeds.md:
means, and standard errors of the mean difference to the ticket of the same seed.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from earlybird.atomic_write import write_whole
from earlybird.cli.application import quieten_libraries
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.run_directory import write_json
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.run import run_stages
from earlybird.recipes.stages.summary import summarise
from earlybird.recipes.training_seconds import training_seconds
from earlybird.report.networks import NETWORKS
from earlybird.report.training_flops import training_flops

_KEYS = ("dense", "dense_matched", "ticket", "random")


def main() -> None:
    """Run what is not there yet, gather, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    asked = parser.parse_args()
    quieten_libraries()
    runs = [_finished(asked.runs / str(seed), seed, asked.overrides) for seed in range(asked.seeds)]
    asked.output.mkdir(parents=True, exist_ok=True)
    write_json(asked.output / "seeds.json", {"overrides": asked.overrides, "seeds": runs})
    text = _table(runs)
    write_whole(asked.output / "seeds.md", text)
    print(text)


def _finished(root: Path, seed: int, overrides: list[str]) -> dict[str, Any]:
    """Of each network: accuracy in percent, and its costs as shares of dense training's and a dense answer's."""
    job = Job.begin(read_recipe("digits-finetune", [f"output={root}", f"seed={seed}", *overrides]))
    for _ in run_stages(job):
        pass
    summary = summarise(job.files)
    dense = training_flops(summary, "dense")
    cpu = training_seconds(summary["dense"], "cpu_seconds")
    assert dense is not None
    networks = {}
    for key in _KEYS:
        flops, seconds = training_flops(summary, key), training_seconds(summary[key], "cpu_seconds")
        assert flops is not None
        networks[key] = {
            "accuracy": summary[key]["accuracy"],
            "training_flops": flops / dense,
            "cpu_seconds": None if cpu is None or seconds is None else seconds / cpu,
            "answer_flops": summary[key]["flops"] / summary["dense"]["flops"],
        }
    drawn = {name: summary["ticket"][name] for name in ("draw_step", "draw_fraction", "how")}
    return {"seed": seed, "evaluation_examples": summary["evaluation_examples"], **drawn, **networks}


def _table(runs: list[dict[str, Any]]) -> str:
    lines = [
        "| network | accuracy | the ticket's less this one's | FLOPs of training | CPU seconds | FLOPs of an answer |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for key in _KEYS:
        each = [run[key] for run in runs]
        apart = [run["ticket"]["accuracy"] - run[key]["accuracy"] for run in runs]
        error = statistics.stdev(apart) / len(apart) ** 0.5 if len(apart) > 1 else float("nan")
        costs = [_share([one[cost] for one in each]) for cost in ("training_flops", "cpu_seconds", "answer_flops")]
        accuracy = statistics.fmean(one["accuracy"] for one in each)
        difference = "" if key == "ticket" else f"{statistics.fmean(apart):+.2f} ± {error:.2f}"
        lines.append(f"| {NETWORKS[key]} | {accuracy:.2f} | {difference} | {' | '.join(costs)} |")
    steps = [str(run["draw_step"]) for run in runs]
    last = ", ".join(steps[:-1]) + f" and {steps[-1]}" if len(steps) > 1 else steps[0]
    return "\n".join(lines) + f"\n\n{len(runs)} seeds, drawn at steps {last}.\n"


def _share(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.fmean(known):.0%}" if len(known) == len(values) else ""


if __name__ == "__main__":
    main()
