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
from earlybird.report.one_unit import OneUnit, restless_units
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
        chosen: the unit that figures of one unit show, where one was named.
    """

    name: str
    trajectory: Trajectory
    rules: Mapping[Kind, MaskRule]
    config: SearchConfig
    analysis: Analysis
    ticket: Ticket | None
    chosen: OneUnit | None = None

    @classmethod
    def of(cls, root: Path, changes: Mapping[str, Any] | None = None, unit: str | None = None) -> Record:
        """Read a run's directory, or a trajectory's.

        Args:
            root: the directory.
            changes: of the run's `search` settings (its ticket's, before a draw its recipe's), by which its own draw
                and ticket no longer count; of a trajectory what is to be pruned, at least a ratio.
            unit: what `chosen` shall be, as heads.3.7.

        Raises:
            InputError: it is neither, or lacks the record or the recipe (the message says which), a setting is out of
                bounds, or there is no such unit among those that are pruned.
        """
        run = _read(root, changes or {})
        if run.trajectory is None or run.search is None:
            missing = [run.missing[key] for key in ("trajectory", "recipe", "search") if run.missing.get(key)]
            raise InputError(f"{root} has no record to make figures of: {' '.join(missing)}")
        analysis = analyse(run)
        rules = shown_rules(run.search, run.trajectory, run.ticket)
        chosen = None if unit is None else OneUnit.parse(unit)
        if chosen is not None:
            chosen.check(run.trajectory, rules)
        return cls(run.name, run.trajectory, rules, run.search, analysis, run.ticket, chosen)

    @property
    def score(self) -> Score:
        """What ranks the units."""
        return scored_by(self.config, self.trajectory.shape.channels)

    @property
    def kinds(self) -> list[Kind]:
        """The kinds that are pruned."""
        return [kind for kind in KINDS if kind in self.rules]

    @property
    def one_unit(self) -> OneUnit | None:
        """The chosen unit, or the most restless one of the first kind; None where no masks are known."""
        if self.chosen is not None:
            return self.chosen
        kind = next(iter(self.analysis.masks), None)
        units = [] if kind is None else restless_units(kind, self.analysis.masks[kind], 1)
        return units[0] if units else None

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
