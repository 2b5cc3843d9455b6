"""All numbers behind the plots, computed once for the page and for the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from earlybird.config import SearchConfig
from earlybird.detectors.defaults import scored_by
from earlybird.errors import InputError
from earlybird.masks.budget_curve import BudgetPoint
from earlybird.report.budgets import curve_of
from earlybird.report.coefficients import Coefficients, coefficients
from earlybird.report.finite import finite
from earlybird.report.run import Run
from earlybird.report.series import MOST_POINTS, MaskSeries, mask_series, sampled_steps
from earlybird.report.shown_rules import shown_rules
from earlybird.report.statistic import Replay, replay
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import Kind


@dataclass(frozen=True)
class KindStep:
    """When a kind settled, and when the draw came: 0-based steps; a draw that no detector decided settled nothing."""

    settled: int | None
    drawn: int


@dataclass(frozen=True)
class Analysis:
    """What the record of a run shows; empty where there is nothing to compute it from.

    Attributes:
        recorded: recorded steps.
        total_steps: planned steps.
        masks: per pruned kind.
        coefficients: per recorded kind.
        replay: the detector's checks, run again.
        draws: the draw per kind, from draw.json or else from the replay; {} where nothing is drawn.
        curve: what is kept of the evidence against what it costs, for many budgets.
        own_point: the same of the run's ticket.
        hamming: where Hamming's rule would have settled, per kind.
        problems: per part (masks, coefficients, replay), why it is not there, in one sentence.
    """

    recorded: int = 0
    total_steps: int = 0
    masks: Mapping[Kind, MaskSeries] = field(default_factory=dict)
    coefficients: Mapping[Kind, Coefficients] = field(default_factory=dict)
    replay: Replay | None = None
    draws: Mapping[Kind, KindStep] = field(default_factory=dict)
    curve: tuple[BudgetPoint, ...] = ()
    own_point: BudgetPoint | None = None
    hamming: Mapping[Kind, int] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def draw_step(self) -> int | None:
        """The step at which all masks are taken."""
        return next((draw.drawn for draw in self.draws.values()), None)

    def percent(self, step: int) -> float:
        """The share of the planned run that a 0-based step ends, in percent."""
        return 100 * (step + 1) / max(1, self.total_steps)


def analyse(run: Run) -> Analysis:
    """Compute what the files allow."""
    trajectory = run.trajectory
    if trajectory is None:
        reason = run.missing.get("trajectory", "")
        return Analysis(problems=dict.fromkeys(("masks", "coefficients", "replay"), reason))
    problems: dict[str, str] = {}
    values: dict[Kind, Coefficients] = {}
    try:
        values = {
            kind: coefficients(trajectory, kind) for kind in trajectory.kinds if any(trajectory.shape.units[kind])
        }
    except InputError as error:
        problems["coefficients"] = str(error)
    masks: dict[Kind, MaskSeries] = {}
    hamming: dict[Kind, int] = {}
    replayed: Replay | None = None
    draws = _written_draws(run)
    config = run.search
    if config is None:
        reason = run.missing.get("search", run.missing.get("recipe", ""))
        problems |= dict.fromkeys(("masks", "replay"), reason)
    else:
        try:
            rules = shown_rules(config, trajectory, run.ticket)
        except InputError as error:
            problems |= dict.fromkeys(("masks", "replay"), str(error))
            rules = {}
        if rules:
            try:
                replayed = _checks(run, trajectory, config)
                if run.draw is None and replayed is not None:
                    draws = _replayed_draws(replayed)
            except InputError as error:
                problems["replay"] = str(error)
            try:
                known = {step for draw in draws.values() for step in (draw.settled, draw.drawn) if step is not None}
                steps = sampled_steps(trajectory.steps, MOST_POINTS, known)
                score = scored_by(config, trajectory.shape.channels)
                masks = {kind: mask_series(trajectory, kind, rule, score, steps, known) for kind, rule in rules.items()}
            except InputError as error:
                problems["masks"] = str(error)
            # Fewer steps than its rule looks at are no problem of the record.
            with suppress(InputError):
                score = scored_by(config, trajectory.shape.channels)
                early = replay(trajectory, replace(config.with_detector("hamming"), score=score)).draw
                hamming = {} if early is None else {kind: draw.step for kind, draw in early.kinds.items()}
    curve: tuple[BudgetPoint, ...] = ()
    own: BudgetPoint | None = None
    # Coefficients that are trained say nothing of it; why not is no news to whoever trains them.
    if config is not None and trajectory.steps:
        with suppress(InputError):
            drawn = next((draw.drawn for draw in draws.values()), trajectory.steps - 1)
            curve, own = curve_of(trajectory, config, min(drawn, trajectory.steps - 1), run.ticket)
    return Analysis(
        curve=curve,
        own_point=own,
        recorded=trajectory.steps,
        total_steps=trajectory.total_steps,
        masks=masks,
        coefficients=values,
        replay=replayed,
        draws=draws,
        hamming=hamming,
        problems=problems,
    )


def _checks(run: Run, trajectory: Trajectory, config: SearchConfig) -> Replay | None:
    """The detector's checks over the record; None of a draw at a named step, which asked no detector.

    Raises:
        InputError: the detector cannot be run again, or its checks are not those that the ticket was drawn by.
    """
    if run.draw is not None and run.draw["how"] == "step":
        return None
    replayed = replay(trajectory, config)
    if run.draw is not None and _settled(replayed) != _written(run.draw):
        raise InputError(
            f"Over this record {replayed.factory.name}, with the settings that are known, does not settle as draw.json"
            " tells, so that its checks are not shown."
        )
    return replayed


def _settled(replayed: Replay) -> Mapping[str, object] | None:
    if replayed.draw is None:
        return None
    return {kind: _told(asdict(one)) for kind, one in replayed.draw.kinds.items()}


def _written(draw: Mapping[str, Any]) -> Mapping[str, object] | None:
    return None if draw["how"] == "end" else {kind: _told(one) for kind, one in draw["kinds"].items()}


def _told(one: Mapping[str, Any]) -> tuple[int, float | None, str]:
    """What tells one kind's draw from that by other settings; the statistic to where machines agree."""
    statistic = finite(one.get("statistic"))
    return one["step"], finite(one.get("threshold")), "" if statistic is None else f"{statistic:.3g}"


def _written_draws(run: Run) -> dict[Kind, KindStep]:
    if run.draw is None:
        return {}
    drawn, found = run.draw["step"], run.draw["how"] == "detector"
    return {kind: KindStep(entry["step"] if found else None, drawn) for kind, entry in run.draw["kinds"].items()}


def _replayed_draws(replayed: Replay) -> dict[Kind, KindStep]:
    if replayed.draw is None:
        return {}
    drawn = replayed.draw.step
    return {kind: KindStep(entry.step, drawn) for kind, entry in replayed.draw.kinds.items()}
