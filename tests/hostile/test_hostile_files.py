"""Whatever is in a file: it is read, or refused by one of our own errors, in little memory, and nothing else happens.

Longer, by hand: EARLYBIRD_MUTATIONS=50 python -m pytest tests/hostile makes 50 times as many; fuzz.py goes where new
code is reached.
"""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from formats import FORMATS
from mutations import mutation_for

from earlybird.errors import InputError, JobError

TIMES = int(os.environ.get("EARLYBIRD_MUTATIONS", "1"))
MEMORY = 400 << 20


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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_refused(name, samples):
    write, damaged, read, count = FORMATS[name]
    root = samples(write)
    file = root / damaged
    original = file.read_bytes()
    read(root)
    mutate = mutation_for(file)
    refused = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    try:
        for seed in range(count * TIMES):
            file.write_bytes(mutate(original, random.Random(f"{name} {seed}")))
            try:
                read(root)
            except (InputError, JobError):
                refused += 1
            except BaseException as error:
                raise AssertionError(f"seed {seed}: {error!r} of\n{file.read_bytes()[:2000]!r}") from error
    finally:
        file.write_bytes(original)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10 < before + MEMORY
    assert refused or "evidence" in name or "reported" in name or "chunks" in name
