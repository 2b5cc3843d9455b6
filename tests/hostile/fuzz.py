"""Looks for inputs that reach new code, as long as one likes, by atheris (`pip install atheris`):

    PYTHONPATH=tests/hostile python tests/hostile/fuzz.py "ticket" -max_total_time=600

The first argument is one of `formats.FORMATS`, the others are libFuzzer's. It ends at the first input that is neither
read nor refused by one of our own errors, or that takes more than 2 GB, and leaves it in the working directory.
"""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["earlybird"]):
    from formats import FORMATS
    from mutations import mutation_for

    from earlybird.errors import InputError, JobError


def main() -> None:
    """Fuzz the format that the command line names."""
    name, *options = sys.argv[1:]
    write, damaged, read, _ = FORMATS[name]
    with tempfile.TemporaryDirectory() as directory:
        root, corpus = Path(directory) / "sample", Path(directory) / "corpus"
        root.mkdir()
        corpus.mkdir()
        write(root)
        file = root / damaged
        (corpus / "whole").write_bytes(file.read_bytes())

        def read_or_refuse(data: bytes) -> None:
            file.write_bytes(data)
            with contextlib.suppress(InputError, JobError):
                read(root)

        def mutated(data: bytes, longest: int, seed: int) -> bytes:
            return mutate(data, random.Random(seed))[:longest]

        mutate = mutation_for(file)
        atheris.Setup([sys.argv[0], str(corpus), *options], read_or_refuse, custom_mutator=mutated)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
