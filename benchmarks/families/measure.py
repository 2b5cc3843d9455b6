"""Measure the named families: what is pruned, how exactly, under which kernels, and where the result loads.

    PYTHONPATH=tests/model python benchmarks/families/measure.py [FAMILY ...] [--compile] [--output DIRECTORY]

Writes transformers-VERSION.json, and README.md from all of them; families named alone are printed instead. Ends with
status 1 where something is not as it must be.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
import transformers
from comparison import ticket_for
from exactness import KERNELS, exactness, five_times
from families import FAMILIES, build
from faults import faults
from generation import generation
from saved import save_and_load, save_uniform, without_earlybird
from table import write_table

import earlybird as eb


def measure(name: str, directory: Path) -> dict[str, Any]:
    """All that is said of one family, but for what a process without earlybird makes of the saved models."""
    model = build(name)
    anatomy = eb.Anatomy.of(model)
    pruned = eb.Anatomy.of(eb.prune(model, ticket_for(model)))
    return {
        "family": name,
        "class": anatomy.model,
        "units": {kind: [sum(units), sum(pruned.units[kind])] for kind, units in anatomy.units.items()},
        "key_value_groups": anatomy.key_value_groups,
        "left_out": sorted({left.reason for left in anatomy.left_out}),
        "kernels": {kernel: attempt(exactness, name, kernel) for kernel in KERNELS},
        "generation": attempt(generation, name),
        "five_times": attempt(five_times, name),
        "saved": attempt(save_and_load, name, directory / "pruned"),
        "uniform": attempt(save_uniform, name, directory),
    }


def attempt(measurement: Callable[..., Any], *arguments: Any) -> Any:
    """What a measurement gives, or how it failed, so that the other families are measured all the same."""
    try:
        return measurement(*arguments)
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}".split("\n")[0]}


def load_elsewhere(rows: list[dict[str, Any]], root: Path) -> None:
    """Add to each row what a process without earlybird makes of the models saved for it."""
    directories = {
        str(saved.parent): row["family"] for row in rows for saved in root.glob(f"{row['family']}/*/answer.st")
    }
    found = without_earlybird(directories)
    for row in rows:
        row["without_earlybird"] = {
            Path(directory).name: found[directory] for directory, name in directories.items() if name == row["family"]
        }
        config = root / row["family"] / "pruned" / "config.json"
        row["plain_config"] = config.is_file() and "quantization_config" not in json.loads(config.read_text())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", metavar="FAMILY", help="by default all")
    parser.add_argument("--compile", action="store_true", help="FlexAttention as on a GPU; minutes for each family")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/families"))
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    rows = []
    start = time.process_time()
    # FlexAttention's arithmetic is the same, and compiling it for each shape takes minutes on a CPU.
    stance = contextlib.nullcontext() if arguments.compile else torch.compiler.set_stance("force_eager")
    with stance, tempfile.TemporaryDirectory() as root:
        for name in arguments.families or FAMILIES:
            rows.append(measure(name, Path(root) / name))
            print(f"{name}: {time.process_time() - start:.0f} s of processor", file=sys.stderr, flush=True)
        load_elsewhere(rows, Path(root))
    for row in rows:
        row["faults"] = faults(row)
    if arguments.families:
        print(json.dumps(rows, indent=1))
    else:
        said = {
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": f"{os.cpu_count()} CPU cores ({platform.machine()}), one used",
            "date": date.today().isoformat(),
            "processor_seconds": round(time.process_time() - start),
        }
        arguments.output.mkdir(parents=True, exist_ok=True)
        target = arguments.output / f"transformers-{transformers.__version__}.json"
        target.write_text(json.dumps({**said, "rows": rows}, indent=1) + "\n", encoding="utf-8")
        write_table(arguments.output)
    for row in rows:
        for fault in row["faults"]:
            print(f"{row['family']}: {fault}", file=sys.stderr)
    return int(any(row["faults"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
