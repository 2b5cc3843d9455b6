"""How long a training and everything else kept the processors busy: seconds by the clock hold the work of both."""

from __future__ import annotations

import time

import psutil


class MachineWork:
    """Core-seconds that this process and its children took, and those that all others took, from now on.

    Args:
        seconds: of wall-clock time before, of a training that goes on.
        own: core-seconds of this training before.
        others: core-seconds of others before.

    Attributes:
        cores: that the machine has.
    """

    def __init__(self, seconds: float = 0.0, own: float = 0.0, others: float = 0.0) -> None:
        self.cores = psutil.cpu_count() or 1
        self._before = (seconds, own, others)
        self._begun = _now()

    def so_far(self) -> tuple[float, float, float]:
        """Seconds of wall-clock time, core-seconds of this training, and core-seconds of others."""
        seconds, own, busy = (now - begun for now, begun in zip(_now(), self._begun, strict=True))
        # The system counts in hundredths of a second, a process more finely.
        since = (seconds, own, max(0.0, busy - own))
        return self._before[0] + since[0], self._before[1] + since[1], self._before[2] + since[2]

    @property
    def other_cores(self) -> float:
        """Cores that others kept busy, on average."""
        seconds, _, others = self.so_far()
        return round(min(others / seconds, self.cores), 2) if seconds else 0.0


def _now() -> tuple[float, float, float]:
    """Wall-clock time, and the busy core-seconds of this process with its children, and of everything."""
    everything = psutil.cpu_times()
    # Of Linux' own counts, guests are part of user, and waiting for a disk is no work.
    busy = everything.user + everything.system + getattr(everything, "nice", 0.0)
    process = psutil.Process()
    own = sum(_worked(each) for each in [process, *process.children(recursive=True)])
    return time.perf_counter(), own, busy


def _worked(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:  # ended since it was listed
        return 0.0
    # A child that has ended is counted by its parent alone.
    return float(times.user + times.system + times.children_user + times.children_system)
