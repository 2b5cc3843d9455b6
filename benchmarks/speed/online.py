"""What one step of a search costs on the CPU: scores, masks, norms and the tests' share, and what it holds.

    OMP_NUM_THREADS=1 python benchmarks/speed/online.py DIRECTORY > benchmarks/results/speed/online.json

DIRECTORY holds the trajectory that `adam.py` writes. Its steps are handed over one by one, as a training loop does,
to detectors whose threshold no test passes, so that every step is looked at. The mean counts the checks, every 100
steps; the 99th percentile is a step with a check. Beside it the published procedure's masks and norms of every tenth of
the same steps, without tests. On a machine shared with other work the fastest twentieth says most about the code.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import published
from measured import report
from numpy.typing import NDArray
from offline import NEVER

import earlybird as eb
from earlybird.detectors.detection import Detection
from earlybird.detectors.scores import RunningScore


def cost_of_steps(
    trajectory: eb.Trajectory, test: str, ratio: float, steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """CPU milliseconds of each of the first steps, and of every tenth by the published procedure."""
    config = eb.SearchConfig(heads=ratio, neurons=ratio, detector=f"published-{test}", threshold=NEVER[test])
    detection = Detection(config, trajectory.shape, total_steps=trajectory.total_steps)
    running = {kind: RunningScore("coefficient", "deviation") for kind in detection.kinds}
    recorded = {kind: trajectory.evidence(kind, "deviation") for kind in detection.kinds}
    ours, theirs = [], []
    for step in range(steps):
        evidence = {kind: np.array(values[step : step + 1]) for kind, values in recorded.items()}
        start = time.process_time_ns()
        detection.update({kind: running[kind].update(values) for kind, values in evidence.items()})
        ours.append((time.process_time_ns() - start) / 1e6)
        if step % 10 == 0:
            start = time.process_time_ns()
            for kind, values in evidence.items():
                published.norm(values[0], ratio, kind)
            theirs.append((time.process_time_ns() - start) / 1e6)
    return np.array(ours), np.array(theirs)


def summary(costs: NDArray[np.float64]) -> dict[str, float]:
    return {
        "mean_ms": round(float(costs.mean()), 4),
        "median_ms": round(float(np.median(costs)), 4),
        "fastest_twentieth_ms": round(float(np.quantile(costs, 0.05)), 4),
        "p99_ms": round(float(np.quantile(costs, 0.99)), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--ratio", type=float, default=0.5)
    given = parser.parse_args()
    trajectory = eb.Trajectory.open(given.directory)
    rows: dict[str, Any] = {}
    for test in NEVER:
        ours, theirs = cost_of_steps(trajectory, test, given.ratio, min(given.steps, trajectory.steps))
        rows[f"published-{test}"] = {"earlybird": summary(ours), "published_masks_and_norms": summary(theirs)}
    report(
        {
            "figure": "one step online, CPU time",
            "steps": min(given.steps, trajectory.steps),
            "units": {kind: f"{len(units)} x {units[0]}" for kind, units in trajectory.shape.units.items()},
            "ratio": given.ratio,
            "detectors": rows,
        }
    )


if __name__ == "__main__":
    main()
