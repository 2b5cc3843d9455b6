"""Compare all detectors on the recorded runs.

    python benchmarks/detectors/compare.py [--processes 2] [--costly]

Writes draws.csv.gz and figure.png beside this file, and the table into comparison.md. The draws of a detector that
takes half a second a check are taken from the draws.csv.gz that is there, unless --costly.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import time
from collections import defaultdict
from functools import partial
from itertools import groupby
from multiprocessing import Pool
from pathlib import Path

from candidate import COSTLY
from candidates import COMPARED
from drawing import Outcome, Summary, outcome, outcome_at
from figure import save_figure
from record import CASES, Record

from earlybird.vocabulary import SCORES, Score

HERE = Path(__file__).parent
DRAWS = HERE / "draws.csv.gz"
PAGE = HERE / "comparison.md"
BEGIN, END = "<!-- written by benchmarks/detectors/compare.py -->\n", "<!-- end -->\n"
# No detector at all: the mask when so much of the run has passed.
FIXED = (0.05, 0.10, 0.20, 0.30)

COLUMNS = (
    *("workload", "seed", "score", "kind", "ratio", "detector"),
    *("draw_step", "draw_fraction", "overlap", "captured", "regret"),
)

Drawn = tuple[str, Outcome]


def draws_of(path: Path, costly: bool) -> list[Drawn]:
    """What every detector draws from one record."""
    record = Record.load(path)
    drawn: list[Drawn] = []
    for case in CASES:
        kept = record.cases[case]
        for share in FIXED:
            step = round(share * record.origin.total_steps) - 1
            drawn.append((f"at {share:.0%}", outcome_at(record.origin, case, kept, step)))
        for candidate in COMPARED:
            if costly or candidate.name not in COSTLY:
                drawn.append((candidate.name, outcome(record, case, candidate)))
    return drawn


def draws_on_file(path: Path) -> list[Drawn]:
    """What the costly detectors drew from one record when they were last run."""
    if not DRAWS.is_file():
        return []
    record = Record.load(path)
    drawn: list[Drawn] = []
    with gzip.open(DRAWS, "rt", newline="", encoding="utf-8") as file:
        steps = {
            (row["detector"], row["score"], row["kind"], float(row["ratio"])): row["draw_step"]
            for row in csv.DictReader(file)
            if (row["workload"], row["seed"]) == (record.origin.workload, str(record.origin.seed))
        }
    for name in COSTLY:
        for case in CASES:
            step = steps.get((name, case.score, case.kind, case.ratio))
            if step is not None:
                kept = record.cases[case]
                drawn.append((name, outcome_at(record.origin, case, kept, int(step) if step else None)))
    return drawn


def write_draws(drawn: list[Drawn]) -> None:
    """One line a draw, or a miss: its fields are empty."""
    # Without the time in it, so that the same draws make the same file.
    with gzip.GzipFile(DRAWS, "wb", mtime=0) as packed, io.TextIOWrapper(packed, "utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, at in drawn:
            fields: list[object] = ["", "", "", "", ""]
            if at.step is not None:
                fields = [at.step, f"{at.fraction:.4f}", at.overlap, at.captured, f"{at.regret:.4f}"]
            writer.writerow([at.workload, at.seed, at.case.score, at.case.kind, at.case.ratio, name, *fields])


def summaries(drawn: list[Drawn]) -> dict[Score, dict[str, Summary]]:
    """Of each detector on each score, the best first."""
    outcomes: dict[tuple[Score, str], list[Outcome]] = defaultdict(list)
    for name, at in drawn:
        outcomes[at.case.score, name].append(at)
    return {
        score: dict(
            sorted(
                ((name, Summary.of(some)) for (by, name), some in outcomes.items() if by == score),
                key=lambda item: item[1].rank,
            )
        )
        for score in SCORES
    }


def table(by_score: dict[Score, dict[str, Summary]], drawn: list[Drawn]) -> str:
    """Markdown, a part for each score."""
    runs = sorted({(at.workload, at.seed) for _, at in drawn})
    listed = ", ".join(
        f"{workload} (seeds {', '.join(str(seed) for _, seed in group)})"
        for workload, group in groupby(runs, key=lambda run: run[0])
    )
    lines = [f"Runs: {listed}. Of each, heads and neurons at ratios 0.3, 0.5 and 0.8.", ""]
    for score, rows in by_score.items():
        cases = next(iter(rows.values())).cases
        lines += [
            f"Score: {score}, {cases} cases.",
            "",
            "| detector | misses | false draws | median draw | captured, median | nine of ten at least |"
            " share of 0.9 or more | overlap, median | regret, median |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for name, row in rows.items():
            worth = ["", "", "", ""]
            if row.misses < row.cases:
                worth = [f"{row.captured:.2f}", f"{row.nine_tenths:.2f}", f"{row.good:.0%}", f"{row.overlap:.2f}"]
            cells = [name, str(row.misses), str(row.false), f"{row.draw:.0%}", *worth, f"{100 * row.regret:+.0f}"]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def write_into_page(text: str) -> None:
    """Put the table between the page's marks."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + text + "\n" + END + rest.split(END)[1], encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--costly", action="store_true", help="run the costly detectors too")
    arguments = parser.parse_args()
    started = time.perf_counter()
    paths = sorted((HERE / "records").glob("*.npz"))
    with Pool(arguments.processes) as pool:
        drawn = [
            one for some in pool.map(partial(draws_of, costly=arguments.costly), paths, chunksize=1) for one in some
        ]
    if not arguments.costly:
        drawn += [one for path in paths for one in draws_on_file(path)]
    write_draws(drawn)
    by_score = summaries(drawn)
    write_into_page(table(by_score, drawn))
    save_figure(by_score, HERE)
    print(f"{len(drawn)} cases of a detector on {len(paths)} runs, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
