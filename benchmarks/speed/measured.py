"""What every figure says of itself: what it took, the machine, the day, the command."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import statsmodels

import earlybird


class Stopwatch:
    """CPU seconds of this process, which other work on the machine hardly moves."""

    def __init__(self) -> None:
        self.cpu = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        before = time.process_time()
        try:
            yield
        finally:
            self.cpu += time.process_time() - before


def overhead(seconds: Sequence[float], plain: Sequence[float]) -> dict[str, Any]:
    """Median of the ratios to the plain seconds of the same rounds, less 1, its standard error, and their quartiles."""
    ratios = sorted(longer / alone for longer, alone in zip(seconds, plain, strict=True))
    quartiles = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    resampled = np.random.default_rng(0).choice(ratios, (2_000, len(ratios)))
    return {
        "overhead": round(statistics.median(ratios) - 1, 4),
        "standard_error": round(float(np.median(resampled, axis=1).std()), 4),
        "quartiles": [round(ratio - 1, 4) for ratio in quartiles],
    }


def report(figure: dict[str, Any]) -> None:
    """Print a figure as JSON, with where it comes from."""
    print(with_origin(figure))


def with_origin(figure: dict[str, Any]) -> str:
    """A figure as JSON, with where it comes from."""
    origin = {
        "machine": f"{_processor()}, {os.cpu_count()} cores seen, load {os.getloadavg()[0]:.1f}",
        "threads": os.environ.get("OMP_NUM_THREADS", "as the libraries like"),
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join(["python", *sys.argv]),
        "versions": {
            "earlybird": earlybird.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "statsmodels": statsmodels.__version__,
        },
    }
    return json.dumps({**figure, **origin}, indent=1)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
