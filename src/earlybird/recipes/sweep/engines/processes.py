"""Worker processes on this machine that do not outlive the sweep."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType


class Processes(ProcessPoolExecutor):
    """A pool whose processes end with the sweep, however that ends: none goes on writing beside the next one.

    They are started anew, not forked, which torch's threads would not survive. What they print goes to a file each.

    Args:
        workers: processes at a time.
        logs: directory of those files.
    """

    def __init__(self, workers: int, logs: Path) -> None:
        context = multiprocessing.get_context("spawn")
        # Nothing is ever sent. When this end closes, by a call or because the process is gone, the others know.
        reader, self._alive = context.Pipe(duplex=False)
        logs.mkdir(parents=True, exist_ok=True)
        super().__init__(workers, mp_context=context, initializer=_begin, initargs=(reader, logs))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if error is not None:
            self._alive.close()
        return super().__exit__(kind, error, trace)


def _begin(alive: Connection, logs: Path) -> None:
    log = os.open(logs / f"worker-{os.getpid()}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    threading.Thread(target=_end_with, args=(alive,), daemon=True).start()


def _end_with(alive: Connection) -> None:
    alive.poll(None)
    os._exit(1)
