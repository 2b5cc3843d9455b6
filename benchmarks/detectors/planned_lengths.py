"""At which step each detector draws in trainings planned for different lengths: a table.

    earlybird run bert-glue ... search.score=coefficient search.record=all search.to_the_end=true dense=false \
        random=false training.epochs=3 output=planned/3   # and so on; a long one may be stopped on the way
    python benchmarks/detectors/planned_lengths.py planned/* --ratio 0.5 --output DIRECTORY

Any searches to the end will do, of other data, batches or networks; each is named by its directory. A detector whose
settings are shares of the run waits longer in a longer one, whatever it sees. The tables are of the scores that every
record holds; a training with coefficients and search.record=all holds all. Beside the step stands what the ticket
captures of the last recorded mask of the same score, the less of the two kinds: 1 is the mask's own choice, 0 a random
one's. Writes planned-lengths.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
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
    *_, last = score_chunks(trajectory, detection.kinds, score)
    return min(
        float(captured_by(rule, verdict.draw.masks[kind], last[kind].at(len(last[kind]) - 1)))
        for kind, rule in detection.streams.kinds.items()
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
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--ratio", type=float, action="append", required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    opened = [(path.name, Trajectory.open(path / "search" / "trajectory")) for path in arguments.runs]
    trajectories = dict(sorted(opened, key=lambda one: one[1].total_steps))
    lines: list[str] = []
    for score in SCORES:
        if not all(set(channels_of(score)) & set(each.shape.channels) for each in trajectories.values()):
            continue
        for ratio in arguments.ratio:
            lines += [f"By {score}, ratio {ratio:g}:", "", *_table(trajectories, score, ratio), ""]
    arguments.output.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines)
    (arguments.output / "planned-lengths.md").write_text(text, encoding="utf-8")
    print(text, end="")


def _table(trajectories: Mapping[str, Trajectory], score: Score, ratio: float) -> list[str]:
    headings = [f"{name}: {each.steps:,} of {each.total_steps:,} steps" for name, each in trajectories.items()]
    columns = [column(each, score, ratio) for each in trajectories.values()]
    lines = [f"| detector | {' | '.join(headings)} |", "| --- " * (len(headings) + 1) + "|"]
    return [*lines, *(f"| {name} | {' | '.join(cells[name] for cells in columns)} |" for name in DETECTORS)]


if __name__ == "__main__":
    main()
