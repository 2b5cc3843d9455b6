"""What is kept of a recorded run: what the detectors read of it, and what a draw at each step would be worth.

One `.npz` file a run. A case is one score, kind and ratio; arrays have a row per case.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earlybird.config import SearchConfig
from earlybird.masks import MaskRule
from earlybird.vocabulary import SCORES, Kind, Scope, Score

RATIOS = (0.3, 0.5, 0.8)
KINDS: tuple[Kind, ...] = ("heads", "neurons")


@dataclass(frozen=True)
class Case:
    """One score of one kind of unit at one ratio."""

    score: Score
    kind: Kind
    ratio: float


CASES = tuple(Case(*parts) for parts in product(SCORES, KINDS, RATIOS))


@dataclass(frozen=True)
class Origin:
    """Where a record comes from.

    Attributes:
        workload: what was trained, `digits`.
        seed: of the run.
        units: of each block, per kind.
        scopes: where the threshold is taken, per kind, as the recipe says.
        total_steps, steps_per_epoch: of the run, all of which was recorded.
    """

    workload: str
    seed: int
    units: Mapping[Kind, tuple[int, ...]]
    scopes: Mapping[Kind, Scope]
    total_steps: int
    steps_per_epoch: float | None

    def config(self, case: Case) -> SearchConfig:
        """What a case prunes, and by which score."""
        return SearchConfig(
            heads=case.ratio if case.kind == "heads" else None,
            neurons=case.ratio if case.kind == "neurons" else None,
            score=case.score,
            heads_scope=self.scopes["heads"],
            neurons_scope=self.scopes["neurons"],
        )

    def rule(self, case: Case) -> MaskRule:
        """How the scores of a case become masks."""
        return MaskRule(case.ratio, self.scopes[case.kind], self.units[case.kind])


@dataclass(frozen=True)
class Reading:
    """The statistic of a detector at its checks, whatever its threshold.

    Attributes:
        steps: (checks,) 0-based.
        statistics: (checks,) float64; NaN where it would not draw whatever its threshold.
    """

    steps: NDArray[np.int64]
    statistics: NDArray[np.float64]

    def padded(self, checks: int) -> NDArray[np.float64]:
        """The statistics with NaN for the checks that were not looked at any more."""
        return np.pad(self.statistics, (0, checks - len(self.statistics)), constant_values=np.nan)


@dataclass(frozen=True)
class CaseRecord:
    """What is kept of one case.

    Attributes:
        norm: (steps,) float64, the nuclear norm of the masks.
        evidence: (steps,) bool, False where the threshold falls among many equal scores.
        overlap, captured: (steps,) of each step's mask against the last one, by the last step's scores; to four
            decimals.
        readings: of detectors that look at masks or scores, by their names and settings.
    """

    norm: NDArray[np.float64]
    evidence: NDArray[np.bool_]
    overlap: NDArray[np.float64]
    captured: NDArray[np.float64]
    readings: Mapping[str, Reading]


@dataclass(frozen=True)
class Record:
    """What is kept of one run."""

    origin: Origin
    cases: Mapping[Case, CaseRecord]

    def save(self, path: Path) -> None:
        """Write it as one compressed file."""
        rows = [self.cases[case] for case in CASES]
        arrays: dict[str, NDArray[Any]] = {
            "origin": np.array(json.dumps(vars(self.origin))),
            "norm": np.stack([row.norm for row in rows]),
            "evidence": np.packbits([row.evidence for row in rows], axis=-1),
            "overlap": np.stack([row.overlap for row in rows]).astype(np.float32),
            "captured": np.stack([row.captured for row in rows]).astype(np.float32),
        }
        for name in rows[0].readings:
            longest = max((row.readings[name] for row in rows), key=lambda reading: len(reading.steps))
            arrays[f"steps of {name}"] = longest.steps
            arrays[f"reading of {name}"] = np.stack([row.readings[name].padded(len(longest.steps)) for row in rows])
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        values = json.loads(str(arrays["origin"]))
        values["units"] = {kind: tuple(counts) for kind, counts in values["units"].items()}
        origin = Origin(**values)
        evidence = np.unpackbits(arrays["evidence"], axis=-1, count=arrays["norm"].shape[1]).view(np.bool_)
        overlap, captured = (arrays[name].astype(np.float64).round(4) for name in ("overlap", "captured"))
        names = [name.removeprefix("steps of ") for name in arrays if name.startswith("steps of ")]
        cases = {
            case: CaseRecord(
                arrays["norm"][row],
                evidence[row],
                overlap[row],
                captured[row],
                {name: Reading(arrays[f"steps of {name}"], arrays[f"reading of {name}"][row]) for name in names},
            )
            for row, case in enumerate(CASES)
        }
        return cls(origin, cases)
