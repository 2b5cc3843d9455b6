"""At which step each detector draws in trainings planned for different lengths: a table.

    earlybird run bert-glue ... search.score=coefficient search.record=all search.to_the_end=true dense=false \
        random=false training.epochs=3 output=planned/3   # and so on; a long one may be stopped on the way
    python benchmarks/detectors/planned_lengths.py planned/*/search/trajectory --ratio 0.5 --output DIRECTORY

A detector whose settings are shares of the run waits longer in a longer one, whatever it sees. All scores are read from
one record of a training with coefficients. Beside the step stands what the ticket captures of the last recorded mask of
the same score, the less of the two kinds: 1 is the mask's own choice, 0 a random one's. Writes planned-lengths.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from earlybird.config import SearchConfig
from earlybird.criteria import captured_by
from earlybird.detectors.comparison import Verdict, detect_each, every_detector
from earlybird.detectors.offline import detection_of, score_chunks
from earlybird.detectors.scores import channels_of
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import SCORES, Score

# Of the tests on windows one of each kind, and every rule.
DETECTORS = (
    "recent-half-capture", "split-half-capture", "half-time-capture", "rank-correlation", "lagged-overlap",
    "fixed-time", "hamming", "subnetwork-similarity", "ols", "mann-kendall", "adf", "equivalence", "kpss",
    "published-ols", "published-mann-kendall", "published-adf",
)  # fmt: skip


def captured(trajectory: Trajectory, verdict: Verdict, config: SearchConfig, score: Score) -> float:
    """What a draw's masks capture of the last recorded scores; the least of the kinds."""
    assert verdict.draw is not None
    detection = detection_of(trajectory, config)
    *_, last = score_chunks(trajectory, tuple(detection.rules), score)
    return min(
        float(captured_by(rule, verdict.draw.masks[kind], last[kind].at(len(last[kind]) - 1)))
        for kind, rule in detection.rules.items()
    )


def column(trajectory: Trajectory, score: Score, ratio: float) -> dict[str, str]:
    """What every detector says of one record by one score."""
    config = SearchConfig(heads=ratio, neurons=ratio, score=score)
    verdicts = detect_each(trajectory, {name: every_detector(config)[name] for name in DETECTORS})
    cells = {}
    for name, verdict in verdicts.items():
        if verdict.draw is not None:
            cells[name] = f"{verdict.draw.step}, {captured(trajectory, verdict, config, score):.2f}"
        else:
            cells[name] = "no" if verdict.reason.startswith("not settled") else "cannot"
    return cells


def main() -> None:
    """Write the tables, one for each score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path, nargs="+")
    parser.add_argument("--ratio", type=float, default=0.5)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    trajectories = sorted((Trajectory.open(path) for path in arguments.records), key=lambda one: one.total_steps)
    lines: list[str] = []
    for score in SCORES:
        if not all(set(channels_of(score)) & set(each.shape.channels) for each in trajectories):
            continue
        lines += [f"By {score}, ratio {arguments.ratio:g}:", "", *_table(trajectories, score, arguments.ratio), ""]
    arguments.output.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines)
    (arguments.output / "planned-lengths.md").write_text(text, encoding="utf-8")
    print(text, end="")


def _table(trajectories: Sequence[Trajectory], score: Score, ratio: float) -> list[str]:
    headings = [f"{each.total_steps:,} planned, {each.steps:,} recorded" for each in trajectories]
    columns = [column(each, score, ratio) for each in trajectories]
    lines = [f"| detector | {' | '.join(headings)} |", "| --- " * (len(headings) + 1) + "|"]
    return [*lines, *(f"| {name} | {' | '.join(cells[name] for cells in columns)} |" for name in DETECTORS)]


if __name__ == "__main__":
    main()
