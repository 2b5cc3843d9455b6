"""A program started in a process of its own, or in two that torchrun starts together on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def started(command: Sequence[object], directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python with the arguments of a command, one thread in each process, without network; in a directory."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=directory,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
