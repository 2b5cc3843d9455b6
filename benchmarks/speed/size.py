"""What a step of a search costs on the CPU, and a record on disk, as models grow.

    OMP_NUM_THREADS=1 python benchmarks/speed/size.py > benchmarks/results/speed/size.json

Coefficients as `adam.py` moves them, of a BERT-base, a 7B-class and a 70B-class decoder; no model is built. The time
is that of `published-ols` at ratio 0.5, after the first steps, whose scores tie. The memory is the peak, by
tracemalloc, of what a search with the default detector allocates on the host: copies of the evidence until they are
written, scores, masks, and the observations that a rank correlation looks back to, of which the run is long enough to
hold all.
"""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from itertools import islice
from pathlib import Path
from typing import Any

import adam
import numpy as np
from measured import report
from offline import NEVER

from earlybird.config import SearchConfig
from earlybird.detectors.detection import Detection
from earlybird.detectors.scores import RunningScore
from earlybird.trajectory import TrajectoryWriter

# Layers, heads, neurons, steps that are timed.
MODELS = {"BERT-base": (12, 12, 3072, 400), "7B": (32, 32, 11008, 150), "70B": (80, 64, 28672, 40)}
_TIED_STEPS = 20
# The most that a search writes at a time, but at least one step.
CHUNK_BYTES = 1 << 22


def measured(layers: int, heads: int, neurons: int, steps: int) -> dict[str, Any]:
    shape = adam.shape_of(layers, heads, neurons, 10_000)
    config = SearchConfig(heads=0.5, neurons=0.5, detector="published-ols", threshold=NEVER["ols"])
    detection = Detection(config, shape, total_steps=shape.total_steps)
    running = {kind: RunningScore("coefficient", "deviation") for kind in detection.kinds}
    costs = []
    for step, values in enumerate(adam.coefficients(shape, seed=0)):
        start = time.process_time_ns()
        detection.update({kind: running[kind].update(array[None]) for kind, array in values.items()})
        costs.append((time.process_time_ns() - start) / 1e6)
        if step == _TIED_STEPS + steps:
            break
    timed = np.array(costs[_TIED_STEPS:-1])
    units = layers * (heads + neurons)
    return {
        "units": f"{layers} x ({heads} + {neurons})",
        "mean_ms": round(float(timed.mean()), 3),
        "median_ms": round(float(np.median(timed)), 3),
        "fastest_twentieth_ms": round(float(np.quantile(timed, 0.05)), 3),
        "microseconds_per_thousand_units": round(1e6 * float(np.median(timed)) / units, 2),
        "memory_mb": round(memory(layers, heads, neurons), 1),
        "record_mb_per_1000_steps": round(4 * units * 1000 / 1e6, 1),
    }


def memory(layers: int, heads: int, neurons: int) -> float:
    """MB at the peak, of a search that has come to its second check."""
    # The detector looks back a tenth of the run, at every hundredth, however long the run is.
    shape = adam.shape_of(layers, heads, neurons, 500)
    evidence = list(islice(adam.coefficients(shape, seed=0), 62))
    step_bytes = 4 * layers * (heads + neurons)
    with tempfile.TemporaryDirectory() as directory:
        tracemalloc.start()
        detection = Detection(
            SearchConfig(heads=0.5, neurons=0.5, score="coefficient"), shape, total_steps=shape.total_steps
        )
        running = {kind: RunningScore("coefficient", "deviation") for kind in detection.kinds}
        with TrajectoryWriter(Path(directory), shape, chunk_steps=max(1, CHUNK_BYTES // step_bytes)) as writer:
            for values in evidence:
                values = {kind: array.copy() for kind, array in values.items()}  # to the host
                writer.append({(kind, "deviation"): array for kind, array in values.items()})
                detection.update({kind: running[kind].update(array[None]) for kind, array in values.items()})
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
    return peak


if __name__ == "__main__":
    report({"figure": "cost against size", "models": {name: measured(*sizes) for name, sizes in MODELS.items()}})
