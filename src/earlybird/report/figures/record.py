"""What the figures are made from: a recorded search and what was to be pruned in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earlybird.config import SearchConfig, replaced_pruning
from earlybird.detectors.defaults import scored_by
from earlybird.detectors.scores import channels_of
from earlybird.errors import InputError
from earlybird.masks import MaskRule
from earlybird.recipes.compare import config_for_record
from earlybird.report.analysis import Analysis, analyse
from earlybird.report.run import Run, read_run, read_trajectory
from earlybird.report.series import scores_at
from earlybird.report.shown_rules import shown_rules
from earlybird.ticket import Ticket
from earlybird.trajectory import Trajectory
from earlybird.trajectory.files import DESCRIPTION
from earlybird.vocabulary import KINDS, SCORES, Kind, Score


@dataclass(frozen=True)
class Record:
    """A search as it was recorded.

    Attributes:
        name: what to call the run.
        trajectory: the evidence, step by step.
        rules: how scores become masks, per kind.
        config: the settings that it was drawn by, before a draw those of its recipe.
        analysis: the draws, and what the report shows.
        ticket: what was drawn, if anything was.
    """

    name: str
    trajectory: Trajectory
    rules: Mapping[Kind, MaskRule]
    config: SearchConfig
    analysis: Analysis
    ticket: Ticket | None

    @classmethod
    def of(cls, root: Path, changes: Mapping[str, Any] | None = None) -> Record:
        """Read a run's directory, or a trajectory's.

        Args:
            root: the directory.
            changes: of the run's `search` settings (its ticket's, before a draw its recipe's), by which its own draw
                and ticket no longer count; of a trajectory what is to be pruned, at least a ratio.

        Raises:
            InputError: it is neither, or lacks the record or the recipe (the message says which), or a setting is out
                of bounds.
        """
        run = _read(root, changes or {})
        if run.trajectory is None or run.search is None:
            missing = [run.missing[key] for key in ("trajectory", "recipe", "search") if run.missing.get(key)]
            raise InputError(f"{root} has no record to make figures of: {' '.join(missing)}")
        analysis = analyse(run)
        rules = shown_rules(run.search, run.trajectory, run.ticket)
        return cls(run.name, run.trajectory, rules, run.search, analysis, run.ticket)

    @property
    def score(self) -> Score:
        """What ranks the units."""
        return scored_by(self.config, self.trajectory.shape.channels)

    @property
    def kinds(self) -> list[Kind]:
        """The kinds that are pruned."""
        return [kind for kind in KINDS if kind in self.rules]

    @property
    def recorded_scores(self) -> list[Score]:
        """The scores whose evidence the record holds."""
        held = self.trajectory.shape.channels
        return [score for score in SCORES if any(channel in held for channel in channels_of(score))]

    def masks(self, kind: Kind, steps: NDArray[np.int64]) -> Iterator[NDArray[np.bool_]]:
        """The masks at increasing steps, some at a time, (n, layers, units)."""
        for scores in scores_at(self.trajectory, kind, self.score, steps):
            yield self.rules[kind].masks(scores)


def _read(root: Path, changes: Mapping[str, Any]) -> Run:
    if (root / DESCRIPTION).is_file():
        return replace(read_trajectory(root), search=config_for_record(root, changes))
    run = read_run(root)
    if not changes or run.search is None:
        return run
    # The spans of a run are those of its own detector.
    search = run.search.with_detector(changes["detector"]) if "detector" in changes else run.search
    return replace(run, search=replace(search, **replaced_pruning(search, changes)), draw=None, ticket=None)
