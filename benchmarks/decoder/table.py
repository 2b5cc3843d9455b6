"""The table of the runs on a real decoder: what each network costs, and what it is worth.

    python benchmarks/decoder/table.py RESULTS

RESULTS holds a folder for each run, with its `summary.json`, and what evaluate.py and step.py wrote, where they have.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

HEADINGS = (
    *("run", "network", "parameters", "FLOPs of an answer", "FLOPs of training", "drawn at step", "perplexity"),
    *("token accuracy", "exact match", "F1", "seconds of a step", "GB"),
)


def rows_of(path: Path, name: str) -> list[dict[str, str]]:
    """The rows of a CSV file; none where it is not there."""
    return list(csv.DictReader((path / name).open())) if (path / name).is_file() else []


def row(results: Path, run: str, network: str, summary: dict[str, Any], dense: dict[str, Any]) -> list[str]:
    """One network of a run, its FLOPs as shares of the dense network's."""
    entry = summary[network]
    written = {each["network"]: each for each in rows_of(results, f"{run}.csv")}
    trained = written.get("dense, trained" if network == "dense" else f"{network}, trained on", {})
    steps = {(each["run"], each["network"]): each for each in rows_of(results, "step.csv")}
    step = steps.get((run, "dense" if network == "dense" else "ticket"), {})
    drawn = summary["ticket"]["draw_step"] + 1 if network != "dense" else 0
    spent = (drawn * dense["flops"] + entry["train_steps"] * entry["flops"]) / (dense["flops"] * dense["train_steps"])
    return [
        run,
        network,
        f"{entry['parameters'] / 1e6:.1f} M",
        f"{entry['flops'] / dense['flops']:.0%}",
        f"{spent:.0%}",
        str(drawn or ""),
        f"{entry['perplexity']:.2f}",
        f"{entry['token_accuracy']:.1f}",
        trained.get("exact match", ""),
        trained.get("F1", ""),
        step.get("seconds", "") if network != "random" else "as the ticket",
        step.get("GB", "") if network != "random" else "",
    ]


def main(results: Path) -> None:
    print("| " + " | ".join(HEADINGS) + " |")
    print("| --- " * len(HEADINGS) + "|")
    summaries = {path.parent.name: json.loads(path.read_text()) for path in sorted(results.glob("*/summary.json"))}
    dense = {name.partition("-")[0]: each["dense"] for name, each in summaries.items() if "dense" in each}
    for run, summary in summaries.items():
        for network in ("dense", "ticket", "random"):
            if network in summary:
                print("| " + " | ".join(row(results, run, network, summary, dense[run.partition("-")[0]])) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
