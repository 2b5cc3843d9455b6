"""Keep of recorded runs what the comparison needs.

    python benchmarks/detectors/reduce.py RUN ... [--output DIRECTORY]

A run is the directory of `earlybird search RECIPE search.record=all search.to_the_end=true output=WORKLOAD-SEED`.
What is kept goes to WORKLOAD-SEED.npz in `records` beside this file, or in the directory given.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import yaml
from candidate import Member
from candidates import READ
from numpy.typing import NDArray
from record import CASES, Case, CaseRecord, Origin, Reading, Record

from earlybird.criteria import overlap
from earlybird.criteria.captured import captured_by
from earlybird.detectors.base import Observation
from earlybird.detectors.criterion import NUCLEAR_NORM
from earlybird.detectors.observer import Observer
from earlybird.detectors.offline import score_chunks
from earlybird.detectors.presets import DETECTORS
from earlybird.detectors.scores import Scores
from earlybird.masks import MaskRule
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import Kind, Score

RECORDS = Path(__file__).parent / "records"


class Reader:
    """Takes down a detector's statistic at every check; where it does not draw whatever the threshold, NaN.

    The share of settled units, a test for every unit, is looked at until it draws.
    """

    def __init__(self, origin: Origin, case: Case, member: Member) -> None:
        self._rule = DETECTORS[member.detector]
        self._stops = member.detector == "stationary-share"
        self._detector = member.fresh(origin, case)
        self._detector.threshold = math.inf if self._rule.settled_below else -math.inf
        self._steps: list[int] = []
        self._statistics: list[float] = []

    def update(self, observation: Observation) -> None:
        """Take the next observation."""
        if self._stops and self._statistics and self._statistics[-1] >= self._rule.threshold:
            return
        self._detector.update(observation)
        if not self._detector.checked:
            return
        self._steps.append(observation.step)
        self._statistics.append(self._detector.statistic if self._detector.settled else math.nan)

    @property
    def reading(self) -> Reading:
        """What was taken down."""
        return Reading(np.array(self._steps), np.array(self._statistics))


class CaseReader:
    """Gathers what is kept of one case, some steps at a time.

    Args:
        origin: the run.
        case: the score, kind and ratio.
        last: (layers, units) scores of the run's last step.
    """

    def __init__(self, origin: Origin, case: Case, last: NDArray[np.floating]) -> None:
        self._rule: MaskRule = origin.rule(case)
        self._observer = Observer(case.kind, self._rule, [NUCLEAR_NORM])
        self._readers = {member.reading: Reader(origin, case, member) for member in READ}
        self._last = last
        self._last_mask = self._rule.masks(last)
        self._norm: list[float] = []
        self._evidence: list[bool] = []
        self._overlap: list[NDArray[np.float64]] = []
        self._captured: list[NDArray[np.float64]] = []

    def update(self, scores: Scores) -> None:
        """Take the next steps' scores."""
        masks = []
        for observation in self._observer.observations(scores):
            self._norm.append(observation.values[NUCLEAR_NORM])
            self._evidence.append(observation.evidence)
            masks.append(observation.mask)
            for reader in self._readers.values():
                reader.update(observation)
        stacked = np.stack(masks)
        self._overlap.append(overlap(stacked, self._last_mask))
        self._captured.append(captured_by(self._rule, stacked, self._last))

    @property
    def kept(self) -> CaseRecord:
        """What was gathered."""
        return CaseRecord(
            np.array(self._norm),
            np.array(self._evidence),
            np.concatenate(self._overlap).round(4),
            np.concatenate(self._captured).round(4),
            {name: reader.reading for name, reader in self._readers.items()},
        )


def reduced(run: Path) -> Record:
    """What is kept of a run."""
    recipe = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))
    trajectory = Trajectory.open(run / "search" / "trajectory")
    if trajectory.steps != trajectory.total_steps:
        raise SystemExit(f"{run} holds {trajectory.steps} of {trajectory.total_steps} steps: let its search end")
    workload, seed = run.resolve().name.rsplit("-", 1)
    if int(seed) != recipe["seed"]:
        raise SystemExit(f"{run} should end in its seed, {recipe['seed']}")
    origin = Origin(
        workload,
        recipe["seed"],
        trajectory.shape.units,
        {"heads": recipe["search"]["heads_scope"], "neurons": recipe["search"]["neurons_scope"]},
        trajectory.total_steps,
        trajectory.shape.steps_per_epoch,
    )
    cases: dict[Case, CaseRecord] = {}
    for score, kind in dict.fromkeys((case.score, case.kind) for case in CASES):
        last = last_scores(trajectory, kind, score)
        readers = {case: CaseReader(origin, case, last) for case in CASES if (case.score, case.kind) == (score, kind)}
        for scores in score_chunks(trajectory, (kind,), score):
            for reader in readers.values():
                reader.update(scores[kind])
        cases |= {case: reader.kept for case, reader in readers.items()}
    return Record(origin, cases)


def last_scores(trajectory: Trajectory, kind: Kind, score: Score) -> NDArray[np.float64]:
    """The scores of a run's last step, (layers, units)."""
    for scores in score_chunks(trajectory, (kind,), score):
        last = scores[kind].at(-1)
    return last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--output", type=Path, default=RECORDS)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for run in arguments.runs:
        started = time.perf_counter()
        path = arguments.output / f"{run.resolve().name}.npz"
        reduced(run).save(path)
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
