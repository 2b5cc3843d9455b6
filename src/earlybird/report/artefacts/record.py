"""What the artefacts are made from: a recorded search and what was to be pruned in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earlybird.detectors.pruning import Pruning
from earlybird.detectors.scores import Score
from earlybird.errors import InputError
from earlybird.report.analysis import Analysis, analyse
from earlybird.report.run import Run, read_run
from earlybird.report.series import scores_at
from earlybird.ticket import Ticket
from earlybird.trajectory import KINDS, Kind, Trajectory


@dataclass(frozen=True)
class Record:
    """A search as it was recorded.

    Attributes:
        name: what to call the run.
        trajectory: the evidence, step by step.
        prunings: ratio and scope, per kind.
        score: what ranks the units.
        analysis: the draws, and what the report shows.
        ticket: what was drawn, if anything was.
    """

    name: str
    trajectory: Trajectory
    prunings: Mapping[Kind, Pruning]
    score: Score
    analysis: Analysis
    ticket: Ticket | None

    @classmethod
    def of(cls, root: Path) -> Record:
        """Read a run's directory.

        Raises:
            InputError: it is not a run's, or lacks the record or the recipe; the message says which.
        """
        run: Run = read_run(root)
        if run.trajectory is None or run.search is None:
            missing = [run.missing[key] for key in ("trajectory", "recipe", "search") if run.missing.get(key)]
            raise InputError(f"{root} has no record to make figures of: {' '.join(missing)}")
        prunings = run.search.prunings(run.trajectory.shape)
        return cls(run.name, run.trajectory, prunings, run.search.score, analyse(run), run.ticket)

    @property
    def kinds(self) -> list[Kind]:
        """The kinds that are pruned."""
        return [kind for kind in KINDS if kind in self.prunings]

    def masks(self, kind: Kind, steps: NDArray[np.int64]) -> Iterator[NDArray[np.bool_]]:
        """The masks at increasing steps, some at a time, (n, layers, units)."""
        for scores in scores_at(self.trajectory, kind, self.score, steps):
            yield self.prunings[kind].masks(scores)
