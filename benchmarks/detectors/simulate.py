"""Error rates of the detectors on simulated scores of which it is known when their mask settles.

    python benchmarks/detectors/simulate.py [--trajectories 10000] [--costly 504] [--costliest 36] [--processes 2]

Writes simulated.md beside this file. Each trajectory is drawn at random: coefficient-like or gradient-like; one that
settles, wanders on, or settles and then turns over; 4 x 12 heads or 4 x 64 neurons; ratio 0.3, 0.5 or 0.8. The
published settings, made for runs of 14,774 steps, are longer than these runs and left out.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import product
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from drawing import FALSE
from record import RATIOS
from simulated import Outlook, random_coefficients, random_gradients, settling_step

from earlybird.config import DetectorConfig
from earlybird.criteria.captured import captured_by
from earlybird.detectors.criterion import NUCLEAR_NORM
from earlybird.detectors.expression import detector_factory
from earlybird.detectors.observer import Observer
from earlybird.detectors.presets import DETECTORS
from earlybird.detectors.scores import Scores
from earlybird.masks import MaskRule
from earlybird.vocabulary import Kind, Score

STEPS = 400
LAYERS = 4
UNITS: dict[Kind, int] = {"heads": 12, "neurons": 64}
SCORES: tuple[Score, ...] = ("coefficient", "gradient")
OUTLOOKS: tuple[Outlook, ...] = ("settles", "wanders on", "turns over")
# A check takes milliseconds, or each step does; half a second.
COSTLY = (
    "adf", "phillips-perron", "df-gls", "window-change-point", "stationary-share", "bayesian-change-point-online",
)  # fmt: skip
COSTLIEST = ("markov-switching",)
# What looks at the time alone has no error rate to find.
CHEAP = tuple(
    name
    for name in DETECTORS
    if name not in (*COSTLY, *COSTLIEST, "fixed-time", "random-start") and not name.startswith("published")
)


@dataclass(frozen=True)
class Result:
    """What a detector did on a trajectory; fractions of the run."""

    score: Score
    outlook: Outlook
    detector: str
    settled: float
    drawn: float | None
    captured: float | None


def results(index: int, names: Sequence[str]) -> list[Result]:
    """What the detectors do on the trajectory of a number."""
    random = np.random.default_rng([7, index])
    combinations = list(product(SCORES, OUTLOOKS, UNITS, RATIOS))
    score, outlook, kind, ratio = combinations[index % len(combinations)]
    law = (random_coefficients if score == "coefficient" else random_gradients)(outlook, STEPS, random)
    scores = law.scores((LAYERS, UNITS[kind]), random)
    rule = MaskRule(ratio, "layer" if kind == "heads" else "global", (UNITS[kind],) * LAYERS)
    observations = list(Observer(kind, rule, [NUCLEAR_NORM]).observations(Scores(scores)))
    settled = (settling_step(law.correlations()) + 1) / STEPS
    found = []
    for name in names:
        detector = detector_factory(DetectorConfig(detector=name)).build(kind, rule, score, STEPS, None)
        drawn = captured = None
        for observation in observations:
            detector.update(observation)
            if detector.checked and detector.settled:
                drawn = (observation.step + 1) / STEPS
                captured = float(captured_by(rule, observation.mask, scores[-1]))
                break
        found.append(Result(score, outlook, name, settled, drawn, captured))
    return found


def table(found: Sequence[Result], score: Score) -> list[str]:
    """A line for each detector, the fewest early draws on settling trajectories first."""
    groups: dict[tuple[str, Outlook], list[Result]] = defaultdict(list)
    for result in found:
        if result.score == score:
            groups[result.detector, result.outlook].append(result)
    lines = [
        "| detector | trajectories | settles: early | false | missed | delay | wanders on: early | false |"
        " turns over: early | false | missed |",
        f"|{' --- |' * 11}",
    ]
    rows = []
    for name in dict.fromkeys(result.detector for result in found):
        settles, wanders, turns = (groups[name, outlook] for outlook in OUTLOOKS)
        late = [r.drawn - r.settled for r in settles if r.drawn is not None and r.drawn >= r.settled]
        delay = f"{np.median(late):.0%}" if late else ""
        cells = [
            name, str(len(settles) + len(wanders) + len(turns)),
            f"{early(settles):.1%}", f"{false(settles):.1%}", f"{missed(settles):.1%}", delay,
            f"{early(wanders):.1%}", f"{false(wanders):.1%}",
            f"{early(turns):.1%}", f"{false(turns):.1%}", f"{missed(turns):.1%}",
        ]  # fmt: skip
        rows.append((early(settles) + missed(settles), f"| {' | '.join(cells)} |"))
    return lines + [row for _, row in sorted(rows)]


def early(results: Sequence[Result]) -> float:
    """Share drawn before the known settling step."""
    return float(np.mean([r.drawn is not None and r.drawn < r.settled for r in results]))


def false(results: Sequence[Result]) -> float:
    """Share drawn with less than 0.8 captured."""
    return float(np.mean([r.captured is not None and r.captured < FALSE for r in results]))


def missed(results: Sequence[Result]) -> float:
    """Share without a draw."""
    return float(np.mean([r.drawn is None for r in results]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trajectories", type=int, default=10_000, help="for the cheap detectors")
    parser.add_argument("--costly", type=int, default=504, help="for those that take milliseconds a check")
    parser.add_argument("--costliest", type=int, default=36, help="for the one that takes half a second")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "simulated.md")
    arguments = parser.parse_args()
    started = time.perf_counter()
    with Pool(arguments.processes) as pool:
        jobs = [
            (CHEAP, arguments.trajectories), (COSTLY, arguments.costly), (COSTLIEST, arguments.costliest)
        ]  # fmt: skip
        found = [
            result
            for names, count in jobs
            for some in pool.imap(partial(results, names=names), range(count), chunksize=10)
            for result in some
        ]
    seconds = time.perf_counter() - started
    lines = [
        "# Simulated trajectories",
        "",
        f"`python benchmarks/detectors/simulate.py --trajectories {arguments.trajectories} --costly {arguments.costly}"
        f" --costliest {arguments.costliest} --processes {arguments.processes}`:"
        f" {seconds:.0f} s on {datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, numpy {np.__version__}.",
        "",
        f"{STEPS} steps. Early: drawn before the known settling step. False: captured less than {FALSE} of the last"
        " mask's gain. Missed: never drawn. Delay: median of the draws that are not early, of the run.",
        "",
    ]
    for score in SCORES:
        lines += [f"## {score.capitalize()}-like scores", "", *table(found, score), ""]
    arguments.output.write_text("\n".join(lines), encoding="utf-8")
    print(f"{arguments.output}: {seconds:.0f} s")


if __name__ == "__main__":
    main()
