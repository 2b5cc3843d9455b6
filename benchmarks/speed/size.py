"""What a step of a search costs on the CPU, and a record on disk, as models grow.

    OMP_NUM_THREADS=1 python benchmarks/speed/size.py > benchmarks/results/speed/size.json

Coefficients as `adam.py` moves them, of a BERT-base, a 7B-class and a 70B-class decoder; no model is built. The time is
that of `published-ols` at ratio 0.5, after the first steps, whose scores tie; the memory what the detection's scores,
masks and detectors hold and need on top of the process, by tracemalloc.
"""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import adam
import numpy as np
from measured import report
from offline import NEVER

from earlybird.detectors.detection import Detection
from earlybird.detectors.offline import detector_choice, prunings_for
from earlybird.detectors.scores import RunningScore

# Layers, heads, neurons, steps that are timed.
MODELS = {"BERT-base": (12, 12, 3072, 400), "7B": (32, 32, 11008, 150), "70B": (80, 64, 28672, 40)}
_TIED_STEPS = 20


def measured(layers: int, heads: int, neurons: int, steps: int) -> dict[str, Any]:
    shape = adam.shape_of(layers, heads, neurons, 10_000)
    prunings = prunings_for(shape.units, heads=0.5, neurons=0.5)
    choice = detector_choice("published-ols", threshold=NEVER["ols"])
    detection = Detection(prunings, choice, total_steps=shape.total_steps)
    running = {kind: RunningScore("coefficient", "deviation") for kind in prunings}
    costs = []
    for step, values in enumerate(adam.deviations(shape, seed=0)):
        if step == _TIED_STEPS + steps:
            tracemalloc.start()
        start = time.process_time_ns()
        detection.update({kind: running[kind].update(array[None]) for kind, array in values.items()})
        costs.append((time.process_time_ns() - start) / 1e6)
        if step == _TIED_STEPS + steps:
            break
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    timed = np.array(costs[_TIED_STEPS:-1])
    units = layers * (heads + neurons)
    return {
        "units": f"{layers} x ({heads} + {neurons})",
        "mean_ms": round(float(timed.mean()), 3),
        "median_ms": round(float(np.median(timed)), 3),
        "fastest_twentieth_ms": round(float(np.quantile(timed, 0.05)), 3),
        "microseconds_per_thousand_units": round(1e6 * float(np.median(timed)) / units, 2),
        "memory_of_a_step_mb": round(peak, 1),
        "record_mb_per_1000_steps": round(4 * units * 1000 / 1e6, 1),
    }


if __name__ == "__main__":
    report({"figure": "cost against size", "models": {name: measured(*sizes) for name, sizes in MODELS.items()}})
