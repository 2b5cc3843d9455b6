"""What a machine is known by, as far as it decides how long a forward pass takes."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch


def machine(device: torch.device) -> dict[str, str | int]:
    """Names of what computes, and with what: the same on two machines whose tables serve each other."""
    known: dict[str, str | int] = {"device": str(device.type), "torch": torch.__version__, "system": platform.system()}
    if device.type == "cuda":
        return {**known, "name": torch.cuda.get_device_name(device)}
    return {
        **known,
        "name": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    """Linux alone tells more of it than its architecture, in a file."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.is_file() else []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()
