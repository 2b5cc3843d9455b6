"""What a draw of one case was worth, and what many were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from candidate import Candidate
from record import Case, CaseRecord, Origin, Record

from earlybird.errors import InputError

# A draw that captures less is false; one is early enough for good from this on.
FALSE = 0.80
GOOD = 0.90
SETTLED = 0.95


@dataclass(frozen=True)
class Outcome:
    """What one detector did on one case.

    Attributes:
        workload, seed, case: where.
        steps: of the run.
        settled_step: the earliest 0-based step after which every mask captures at least 0.95 of the last one's gain.
        step: of the draw; None where it did not draw.
        overlap, captured: of the drawn mask against the last one; None where there is none.
    """

    workload: str
    seed: int
    case: Case
    steps: int
    settled_step: int
    step: int | None
    overlap: float | None = None
    captured: float | None = None

    @property
    def fraction(self) -> float:
        """Of the run that had passed at the draw; all of it where there was none."""
        return 1.0 if self.step is None else (self.step + 1) / self.steps

    @property
    def regret(self) -> float:
        """How much of the run was waited for too long; negative where too little."""
        return self.fraction - (self.settled_step + 1) / self.steps


def outcome(record: Record, case: Case, candidate: Candidate) -> Outcome:
    """Let a candidate draw."""
    try:
        step = candidate.draw_step(record.origin, case, record.cases[case])
    except InputError:  # the run is shorter than its windows
        step = None
    return outcome_at(record.origin, case, record.cases[case], step)


def outcome_at(origin: Origin, case: Case, kept: CaseRecord, step: int | None) -> Outcome:
    """What a draw at a step is worth."""
    worth = () if step is None else (float(kept.overlap[step]), float(kept.captured[step]))
    below = np.flatnonzero(kept.captured < SETTLED)
    settled_step = int(below[-1]) + 1 if len(below) else 0
    return Outcome(origin.workload, origin.seed, case, origin.total_steps, settled_step, step, *worth)


@dataclass(frozen=True)
class Summary:
    """Of one detector over many cases.

    Attributes:
        cases: how many.
        misses: without a draw.
        false: draws that captured less than 0.8.
        draw: median fraction of the run at the draw; a miss counts as the whole run.
        captured, nine_tenths: what the median draw captured, and what nine of ten captured at least.
        good: share of the draws that captured at least 0.9.
        overlap: median of the draws.
        regret: median; a miss counts as a draw at the end.
    """

    cases: int
    misses: int
    false: int
    draw: float
    captured: float
    nine_tenths: float
    good: float
    overlap: float
    regret: float

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Summary:
        """Of at least one outcome."""
        captured = np.array([o.captured for o in outcomes if o.captured is not None])
        overlap = np.array([o.overlap for o in outcomes if o.overlap is not None])
        nothing = len(captured) == 0
        return cls(
            len(outcomes),
            sum(o.step is None for o in outcomes),
            int((captured < FALSE).sum()),
            float(np.median([o.fraction for o in outcomes])),
            float("nan") if nothing else float(np.median(captured)),
            # The value itself that one of ten falls short of, not one between two draws.
            float("nan") if nothing else float(np.quantile(captured, 0.1, method="lower")),
            float("nan") if nothing else float((captured >= GOOD).mean()),
            float("nan") if nothing else float(np.median(overlap)),
            float(np.median([o.regret for o in outcomes])),
        )

    @property
    def rank(self) -> tuple[int, int, bool, float]:
        """The smaller the better: misses, false draws, fewer than nine good draws of ten, the median draw."""
        return self.misses, self.false, not self.good >= 0.9, self.draw
