"""How busy everything else kept the machine meanwhile: seconds of two trainings compare only where that is alike."""

from __future__ import annotations

import time

import psutil


class OtherWork:
    """Core-seconds that processes other than this one and its children took, from now on.

    Args:
        seconds: of wall-clock time before, of a training that goes on.
        core_seconds: of others before.

    Attributes:
        cores: that the machine has.
    """

    def __init__(self, seconds: float = 0.0, core_seconds: float = 0.0) -> None:
        self.cores = psutil.cpu_count() or 1
        self._before = (seconds, core_seconds)
        self._begun = _now()

    def so_far(self) -> tuple[float, float]:
        """Seconds of wall-clock time, and core-seconds of others."""
        seconds, core_seconds = (now - begun for now, begun in zip(_now(), self._begun, strict=True))
        # The system counts in hundredths of a second, a process more finely.
        return self._before[0] + seconds, self._before[1] + max(0.0, core_seconds)

    @property
    def mean_cores(self) -> float:
        """Cores that others kept busy, on average."""
        seconds, core_seconds = self.so_far()
        return round(min(core_seconds / seconds, self.cores), 2) if seconds else 0.0


def _now() -> tuple[float, float]:
    """Wall-clock time, and the busy core-seconds of all but this process and its children."""
    everything = psutil.cpu_times()
    # Of Linux' own counts, guests are part of user, and waiting for a disk is no work.
    busy = everything.user + everything.system + getattr(everything, "nice", 0.0)
    own = psutil.Process()
    return time.perf_counter(), busy - sum(_worked(process) for process in [own, *own.children(recursive=True)])


def _worked(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:  # ended since it was listed
        return 0.0
    # A child that has ended is counted by its parent alone.
    return float(times.user + times.system + times.children_user + times.children_system)
