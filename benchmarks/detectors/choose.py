"""Choose score, detector and settings on all workloads but one, and see what they do on that one.

    python benchmarks/detectors/choose.py [--processes 2] [--workloads digits cifar10]

The best has the fewest misses, then the fewest false draws, then nine of ten draws that capture 0.9, then the earliest
median draw. Prints the choices; for all workloads and all scores also writes them to choice.md beside this file.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from multiprocessing import Pool
from pathlib import Path

from candidates import CHOICES
from compare import FIXED
from drawing import Outcome, Summary, outcome, outcome_at
from record import CASES, Record

from earlybird.vocabulary import SCORES, Score

HERE = Path(__file__).parent

Pair = tuple[Score, str]
Drawn = Mapping[Pair, Sequence[Outcome]]


def draws_of(path: Path) -> list[tuple[str, Outcome]]:
    """What every candidate draws from one record, and the mask at fixed parts of the run."""
    record = Record.load(path)
    drawn: list[tuple[str, Outcome]] = []
    for case in CASES:
        drawn += [(candidate.name, outcome(record, case, candidate)) for candidate in CHOICES]
        for share in FIXED:
            step = round(share * record.origin.total_steps) - 1
            drawn.append((f"at {share:.0%}", outcome_at(record.origin, case, record.cases[case], step)))
    return drawn


def best(drawn: Drawn, scores: Iterable[Score], workloads: set[str]) -> Pair:
    """The pair of score and candidate that wins on some workloads; of equals the one that captures most."""

    def rank(pair: Pair) -> tuple[object, ...]:
        summary = Summary.of([at for at in drawn[pair] if at.workload in workloads])
        return (*summary.rank, -summary.nine_tenths, pair)

    chosen = set(scores)
    return min((pair for pair in drawn if pair[0] in chosen and not pair[1].startswith("at ")), key=rank)


def frontier(drawn: Drawn) -> list[Pair]:
    """Pairs without a miss than which none draws as early and captures more in nine of ten, the earliest first."""
    summaries = {pair: Summary.of(outcomes) for pair, outcomes in drawn.items()}
    complete = sorted(
        (pair for pair, summary in summaries.items() if not summary.misses),
        key=lambda pair: (summaries[pair].draw, -summaries[pair].nine_tenths),
    )
    kept: list[Pair] = []
    for pair in complete:
        if not kept or summaries[pair].nine_tenths > summaries[kept[-1]].nine_tenths:
            kept.append(pair)
    return kept


def row(label: str, pair: Pair, outcomes: Sequence[Outcome]) -> str:
    """One line of a table."""
    summary = Summary.of(outcomes)
    cells = [
        label, *pair, str(summary.cases), str(summary.misses), str(summary.false), f"{summary.draw:.0%}",
        f"{summary.captured:.2f}", f"{summary.nine_tenths:.2f}", f"{summary.good:.0%}", f"{100 * summary.regret:+.0f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def head(first: str) -> list[str]:
    columns = (
        first, "score", "detector", "cases", "misses", "false draws", "median draw", "captured, median",
        "nine of ten at least", "share of 0.9 or more", "regret, median",
    )  # fmt: skip
    return [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]


def report(drawn: Drawn) -> str:
    """The choices and the frontier, as Markdown."""
    workloads = sorted({at.workload for outcomes in drawn.values() for at in outcomes})
    lines: list[str] = []
    among: dict[str, Sequence[Score]] = {"any score": SCORES, **{f"{score} alone": (score,) for score in SCORES}}
    for title, scores in among.items():
        lines += [f"## Chosen among {title}", ""]
        if len(workloads) > 1:
            lines += ["Chosen on the other workloads, and what it does on the one left out:", "", *head("left out")]
            together: list[Outcome] = []
            for left_out in workloads:
                pair = best(drawn, scores, set(workloads) - {left_out})
                outcomes = [at for at in drawn[pair] if at.workload == left_out]
                together += outcomes
                lines.append(row(left_out, pair, outcomes))
            lines += [row("all of these", (scores[0] if len(scores) == 1 else "", ""), together), ""]
        pair = best(drawn, scores, set(workloads))
        lines += ["Chosen on all workloads:", "", *head("workload")]
        lines += [row(workload, pair, [at for at in drawn[pair] if at.workload == workload]) for workload in workloads]
        lines += [row("all", pair, drawn[pair]), ""]
    lines += ["## Frontier", "", "Without a miss, and nothing as early captures more in nine of ten cases:", ""]
    lines += [*head(""), *(row("", pair, drawn[pair]) for pair in frontier(drawn)), ""]
    lines += ["The mask at a fixed part of the run:", "", *head("")]
    lines += [row("", pair, outcomes) for pair, outcomes in drawn.items() if pair[1].startswith("at ")]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--workloads", nargs="+", help="only these")
    arguments = parser.parse_args()
    started = time.perf_counter()
    paths = sorted((HERE / "records").glob("*.npz"))
    if arguments.workloads:
        paths = [path for path in paths if path.stem.rsplit("-", 1)[0] in arguments.workloads]
    drawn: dict[Pair, list[Outcome]] = {}
    with Pool(arguments.processes) as pool:
        for some in pool.map(draws_of, paths, chunksize=1):
            for name, at in some:
                drawn.setdefault((at.case.score, name), []).append(at)
    text = report(drawn)
    print(text)
    if not arguments.workloads:
        (HERE / "choice.md").write_text(text, encoding="utf-8")
    print(
        f"{len(CHOICES)} candidates by {len(SCORES)} scores on {len(paths)} runs, {time.perf_counter() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
