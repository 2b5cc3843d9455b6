"""The command line in a process of its own, forked from one that has imported everything already."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from earlybird.cli import main

PRELOADED = ["earlybird.recipes.stages.run", "earlybird.cli", "matplotlib.pyplot"]


def earlybird(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What `python -m earlybird ARGUMENTS` does in a directory."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as directory:
        said = [Path(directory) / name for name in ("out", "err")]
        process = context.Process(target=_run, args=(arguments, cwd, said))
        process.start()
        process.join()
        assert process.exitcode is not None
        out, err = (path.read_text() for path in said)
    return subprocess.CompletedProcess(arguments, process.exitcode, out, err)


def _run(arguments: Sequence[str], cwd: Path, said: Sequence[Path]) -> None:
    for stream, path in zip((sys.stdout, sys.stderr), said, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream.fileno())
    os.chdir(cwd)
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.argv = ["earlybird", *arguments]
    main()
