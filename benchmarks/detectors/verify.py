"""Check that what is kept of a run gives every detector's draw as the whole recording does.

python benchmarks/detectors/verify.py RUN ...
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from candidate import COSTLY
from candidates import COMPARED
from record import CASES, Record
from reduce import RECORDS

from earlybird.detectors.comparison import detect_each
from earlybird.errors import InputError
from earlybird.trajectory import Trajectory


def differences(run: Path) -> list[str]:
    """Where a draw from the kept record is not the recording's."""
    trajectory = Trajectory.open(run / "search" / "trajectory")
    record = Record.load(RECORDS / f"{run.resolve().name}.npz")
    candidates = {candidate.name: candidate for candidate in COMPARED if candidate.name not in COSTLY}
    found = []
    for case in CASES:
        pruned = record.origin.config(case)
        configs = {name: replace(pruned, detector=name) for name in candidates}
        verdicts = detect_each(trajectory, configs)
        for name, verdict in verdicts.items():
            whole = None if verdict.draw is None else verdict.draw.step
            try:
                kept = candidates[name].draw_step(record.origin, case, record.cases[case])
            except InputError:
                kept = None
            if kept != whole:
                found.append(f"{run.name}, {case}, {name}: {kept} by what is kept, {whole} by the recording")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    for run in parser.parse_args().runs:
        found = differences(run)
        print("\n".join(found) or f"{run}: every draw is the same")
        if found:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
