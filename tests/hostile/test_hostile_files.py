"""Whatever is in a file: it is read, or refused by one of our own errors, in little memory, and nothing else happens.

Longer, by hand: EARLYBIRD_MUTATIONS=50 python -m pytest tests/hostile makes 50 times as many; fuzz.py goes where new
code is reached.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from formats import FORMATS
from matplotlib.figure import Figure
from mutations import mutation_for

from earlybird.errors import InputError, JobError

TIMES = int(os.environ.get("EARLYBIRD_MUTATIONS", "1"))
MEMORY = 400 << 20
RESET = Path("/proc/self/clear_refs")
# Each mutation writes a whole report.
REPORTED = ("reported recipe", "reported draw", "reported result")
SLOW = {name: pytest.param(name, marks=pytest.mark.thorough) for name in REPORTED}


def peak_memory(*, anew: bool = False) -> int:
    """Bytes held at most; `anew` forgets, where the system can, what earlier tests held."""
    if not os.access(RESET, os.W_OK):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    if anew:
        RESET.write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], None]], Path]:
    """Each sort of sample, written once."""
    written: dict[Callable[[Path], None], Path] = {}

    def sample(write: Callable[[Path], None]) -> Path:
        if write not in written:
            written[write] = tmp_path_factory.mktemp(write.__name__)
            write(written[write])
        return written[write]

    return sample


def test_two_thousand_mutations_are_made():
    assert sum(count for *_, count in FORMATS.values()) >= 2000


@pytest.mark.skipif(not os.access(RESET, os.W_OK), reason="the system does not forget a process's peak")
def test_memory_that_an_earlier_test_held_does_not_count():
    held = bytearray(b"x") * (256 << 20)
    with_it = peak_memory()
    del held
    assert peak_memory(anew=True) < with_it - (200 << 20)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [SLOW.get(name, name) for name in FORMATS])
def test_a_damaged_file_is_read_or_refused(name, samples, tmp_path, monkeypatch):
    write, damaged, read, count = FORMATS[name]
    root = shutil.copytree(samples(write), tmp_path / "sample")
    # Pictures are made, not painted: that takes most of the time and reads nothing more.
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)
    file = root / damaged
    original = file.read_bytes()
    read(root)
    mutate = mutation_for(file)
    refused = 0
    before = peak_memory(anew=True)
    for seed in range(count * TIMES):
        file.write_bytes(mutate(original, random.Random(f"{name} {seed}")))
        try:
            read(root)
        except (InputError, JobError):
            refused += 1
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {error!r} of\n{file.read_bytes()[:2000]!r}") from error
    assert peak_memory() < before + MEMORY
    assert refused or name.startswith(("evidence", "reported", "drawn", "chunks", "cell"))
