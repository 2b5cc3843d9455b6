"""What importing costs: seconds of the wall clock, medians over processes of their own.

    python benchmarks/speed/imports.py --rounds 5 > benchmarks/results/speed/imports.json

The statements take turns, so that a slower minute of the machine falls on all of them. `load` and `save` are compared
with the models of transformers, which they are nothing without; the other names leave those to whoever makes a model.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

from measured import report

BESIDE = {"torch and transformers": "import torch, transformers", "a model class": "from transformers import BertModel"}
OURS = {
    "earlybird": "import earlybird",
    **{
        name: f"import earlybird; earlybird.{name}"
        for name in ("Ticket", "SearchConfig", "Trajectory", "detect", "Anatomy", "Search", "prune", "load", "save")
    },
}
TIMED = "import time; start = time.perf_counter()\n{}\nprint(time.perf_counter() - start)"


def seconds(statement: str) -> float:
    """Of one new process, without the interpreter's own start."""
    program = TIMED.format(statement)
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    statements = BESIDE | OURS
    for statement in statements.values():
        seconds(statement)  # writes the bytecode, and fetches the files into the cache
    measured: dict[str, list[float]] = {name: [] for name in statements}
    for _ in range(rounds):
        for name, statement in statements.items():
            measured[name].append(seconds(statement))
    medians = {name: round(statistics.median(values), 3) for name, values in measured.items()}
    report({"figure": "seconds of importing, wall clock", "rounds": rounds, "medians": medians})


if __name__ == "__main__":
    main()
