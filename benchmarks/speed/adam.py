"""A trajectory as Adam writes one, of any size and length: what the benchmarks of speed look at.

    python benchmarks/speed/adam.py DIRECTORY [--layers 12 --heads 12 --neurons 3072 --steps 14774 --seed 0]

Each coefficient is trained by Adam (0.9, 0.999, 1e-8) at 5e-5 with linear decay on the gradient of a quadratic bowl,
curvature x (deviation - optimum), under noise of standard deviation 1. Optima are normal around 0 with deviation
0.02, curvatures log-normal around 2.5, so that a unit's drift starts at a twentieth of its noise, as for most units
of a fine-tuned encoder; the L1 penalty adds 0.03 to every gradient. So coefficients wander and drift by about 1e-3 to
2e-2 over a run, many of them tie after the first step, and the masks change at nearly every step.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earlybird.trajectory import Shape, TrajectoryWriter
from earlybird.vocabulary import Kind

LEARNING_RATE = 5e-5


def shape_of(layers: int, heads: int, neurons: int, steps: int) -> Shape:
    return Shape({"heads": (heads,) * layers, "neurons": (neurons,) * layers}, ("deviation",), steps)


def coefficients(shape: Shape, seed: int) -> Iterator[dict[Kind, NDArray[np.float32]]]:
    """The deviations from 1 after each step of the run, (layers, units) float32 per kind."""
    random = np.random.default_rng(seed)
    ends = np.cumsum([sum(counts) for counts in shape.units.values()])
    units = int(ends[-1])
    optimum = random.normal(0, 0.02, units).astype(np.float32)
    curvature = (2.5 * random.lognormal(0, 0.5, units)).astype(np.float32)
    values, mean, square = (np.zeros(units, dtype=np.float32) for _ in range(3))
    for step in range(1, shape.total_steps + 1):
        gradient = random.standard_normal(units, dtype=np.float32) + curvature * (values - optimum)
        gradient += np.float32(0.03)
        mean += np.float32(0.1) * (gradient - mean)
        square += np.float32(0.001) * (gradient * gradient - square)
        rate = LEARNING_RATE * (1 - (step - 1) / shape.total_steps) / (1 - 0.9**step)
        values -= np.float32(rate) * mean / (np.sqrt(square / np.float32(1 - 0.999**step)) + np.float32(1e-8))
        pieces = np.split(values.copy(), ends[:-1])
        yield {kind: piece.reshape(shape.record(kind)) for kind, piece in zip(shape.units, pieces, strict=True)}


def write(directory: Path, shape: Shape, seed: int) -> None:
    with TrajectoryWriter(directory, shape, chunk_steps=256) as writer:
        for step in coefficients(shape, seed):
            writer.append({(kind, "deviation"): values for kind, values in step.items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    for name, default in (("layers", 12), ("heads", 12), ("neurons", 3072), ("steps", 14774), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    write(given.directory, shape_of(given.layers, given.heads, given.neurons, given.steps), given.seed)
