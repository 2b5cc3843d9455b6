"""Offline analysis of a recorded run against the published procedure, and whether both draw at the same steps.

    OMP_NUM_THREADS=1 python benchmarks/speed/offline.py DIRECTORY > benchmarks/results/speed/offline.json

DIRECTORY holds the trajectory that `adam.py` writes. Both read the same mapped files, in one process, one after the
other. Time is that of the whole run, all of its steps and checks, at ratio 0.5 with a threshold that no test passes,
the median of some rounds of both; draws are those of the published settings at each ratio, by each test, under both
published presets.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import published
from measured import Stopwatch, report
from numpy.typing import NDArray

import earlybird as eb
from earlybird.vocabulary import Kind

RATIOS = (0.3, 0.5, 0.8)
TIMED_RATIO = 0.5
# p-values that nothing exceeds, or falls below.
NEVER = {"ols": 1 - 1e-15, "mann-kendall": 1 - 1e-15, "adf": 1e-300}


def published_norms(trajectory: eb.Trajectory, ratio: float, watch: Stopwatch) -> dict[str, NDArray[np.float64]]:
    norms = {}
    for kind in trajectory.kinds:
        evidence = trajectory.evidence(kind, "deviation")
        with watch.running():
            norms[kind] = np.array([published.norm(step, ratio, kind) for step in evidence])
    return norms


def published_seconds(norms: dict[str, NDArray[np.float64]], test: str, of_norms: Stopwatch) -> Stopwatch:
    """Of the whole run: the norms, taken once for all tests, and this test's checks."""
    watch = Stopwatch()
    watch.cpu = of_norms.cpu
    rules = published.detectors(test, notebook=False, threshold=NEVER[test])
    with watch.running():
        for kind, rule in rules.items():
            for value in norms[kind]:
                rule.update(value)
    return watch


def our_seconds(trajectory: eb.Trajectory, test: str, ratio: float) -> Stopwatch:
    watch = Stopwatch()
    # Ours imports a test's library where the test is first made, `published` at the top: neither is counted.
    eb.detect(trajectory, eb.SearchConfig(heads=ratio, neurons=ratio, detector=f"published-{test}"))
    with watch.running():
        draw = eb.detect(
            trajectory, eb.SearchConfig(heads=ratio, neurons=ratio, detector=f"published-{test}", threshold=NEVER[test])
        )
    if draw is not None:
        raise AssertionError(f"{test} drew at step {draw.step}: the time is not that of the whole run")
    return watch


def draws(trajectory: eb.Trajectory, norms: dict[str, NDArray[np.float64]], ratio: float) -> list[dict[str, Any]]:
    rows = []
    for test in published.TESTS:
        for preset in ("published", "published-notebook"):
            found = eb.detect(trajectory, eb.SearchConfig(heads=ratio, neurons=ratio, detector=f"{preset}-{test}"))
            ours = None if found is None else found.step
            theirs = published.draw(norms, test, notebook=preset == "published-notebook")
            rows.append({"ratio": ratio, "detector": f"{preset}-{test}", "published": theirs, "earlybird": ours})
    return rows


def whole_run(trajectory: eb.Trajectory, rounds: int) -> dict[str, Any]:
    """Seconds of both by each test, the medians over the rounds, and the ratio with its range."""
    pairs: dict[str, list[tuple[Stopwatch, Stopwatch]]] = {test: [] for test in published.TESTS}
    for _ in range(rounds):
        of_norms = Stopwatch()
        norms = published_norms(trajectory, TIMED_RATIO, of_norms)
        for test, seconds in pairs.items():
            seconds.append((published_seconds(norms, test, of_norms), our_seconds(trajectory, test, TIMED_RATIO)))
    table = {}
    for test, seconds in pairs.items():
        ratios = [theirs.cpu / ours.cpu for theirs, ours in seconds]
        table[test] = {
            "published_cpu_seconds": round(statistics.median(theirs.cpu for theirs, _ in seconds), 3),
            "earlybird_cpu_seconds": round(statistics.median(ours.cpu for _, ours in seconds), 3),
            "times_faster": round(statistics.median(ratios), 1),
            "range": [round(min(ratios), 1), round(max(ratios), 1)],
        }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    trajectory = eb.Trajectory.open(arguments.directory)
    times = whole_run(trajectory, arguments.rounds)
    compared = []
    for ratio in RATIOS:
        compared += draws(trajectory, published_norms(trajectory, ratio, Stopwatch()), ratio)
    units: dict[Kind, list[int]] = {kind: list(counts) for kind, counts in trajectory.shape.units.items()}
    report(
        {
            "figure": "offline analysis, single-threaded",
            "steps": trajectory.steps,
            "units": {kind: f"{len(counts)} x {counts[0]}" for kind, counts in units.items()},
            "rounds": arguments.rounds,
            "whole_run": times,
            "identical_draws": all(row["published"] == row["earlybird"] for row in compared),
            "draws": compared,
        }
    )


if __name__ == "__main__":
    main()
