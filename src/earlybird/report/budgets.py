"""What a search's record says of every budget: what is kept of the evidence against what it costs."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earlybird.config import PruningConfig, SearchConfig
from earlybird.errors import InputError
from earlybird.masks import BudgetRule, budget_rule
from earlybird.masks.budget_curve import SHARES, BudgetPoint, budget_curve
from earlybird.report.amount import percent
from earlybird.report.run import read_run
from earlybird.ticket import Ticket
from earlybird.trajectory import Shape, Trajectory
from earlybird.vocabulary import KINDS, MEASURES, WEIGHED_KINDS, Kind

COLUMNS = ("cost", "kept of the evidence", "at random", *WEIGHED_KINDS)


def curve_of(
    trajectory: Trajectory, config: SearchConfig, step: int, ticket: Ticket | None
) -> tuple[tuple[BudgetPoint, ...], BudgetPoint | None]:
    """The points of many budgets by the squared gradients of the recent half of the steps, and that of a ticket.

    Args:
        trajectory: the record.
        config: what holds of the masks: groups, rounding, equal counts.
        step: the last one looked at, 0-based.
        ticket: what was drawn, if anything was.

    Raises:
        InputError: the record holds no gradients, or does not tell what a unit costs.
    """
    costs = trajectory.shape.costs
    if costs is None:
        raise InputError("The record does not tell what a unit costs, so that there is no curve of budgets.")
    settings: dict[str, Any] = {each.name: getattr(config, each.name) for each in fields(PruningConfig)}
    settings |= dict.fromkeys((*KINDS, *MEASURES, "heads_scope", "neurons_scope"))
    largest = SHARES[0] * (costs.whole if costs.measure == "milliseconds" else 1)
    settings |= {costs.measure: largest, "tokens": costs.tokens, "examples": costs.examples}
    rule = budget_rule(PruningConfig(**settings), trajectory.shape)
    assert rule is not None
    scores = rule.stacked({kind: _recent_squares(trajectory, kind, step) for kind in rule.rules})
    return budget_curve(rule, scores), None if ticket is None else _point(rule, scores, ticket)


def budgets_of_run(root: Path) -> tuple[tuple[BudgetPoint, ...], BudgetPoint | None, Shape]:
    """The curve of a run's directory, the point of its ticket, and the shape of its record.

    Raises:
        InputError: it has no record, or one that does not say.
    """
    run = read_run(root)
    if run.trajectory is None or run.search is None or run.trajectory.steps == 0:
        missing = [run.missing[key] for key in ("trajectory", "recipe", "search") if run.missing.get(key)]
        raise InputError(f"{root} has no record to read budgets from: {' '.join(missing) or 'no step is recorded'}")
    last = run.trajectory.steps - 1
    step = last if run.draw is None else min(last, int(run.draw["step"]))
    curve, own = curve_of(run.trajectory, run.search, step, run.ticket)
    return curve, own, run.trajectory.shape


def what_is_left(shape: Shape) -> str:
    """What a cost is a share of."""
    assert shape.costs is not None
    if shape.costs.measure == "milliseconds":
        return "milliseconds of a forward pass"
    return f"blocks' {'FLOPs' if shape.costs.measure == 'flops' else shape.costs.measure}"


def example_options(shape: Shape) -> str:
    """Options of the command line by which another ticket is drawn."""
    costs = shape.costs
    assert costs is not None
    if costs.measure != "milliseconds":
        return f"--{costs.measure} 0.4"
    return f"--milliseconds {0.8 * costs.whole:.3g} --examples {costs.examples}"


def table_rows(curve: tuple[BudgetPoint, ...], shape: Shape) -> tuple[tuple[str, ...], ...]:
    """The points as text, under `COLUMNS`."""
    units = {kind: sum(counts) for kind, counts in shape.units.items()}
    return tuple(
        (
            percent(point.cost),
            percent(point.worth),
            percent(point.chance),
            *(f"{point.kept[kind]:,} of {units[kind]:,}" if kind in point.kept else "" for kind in WEIGHED_KINDS),
        )
        for point in curve
    )


def _recent_squares(trajectory: Trajectory, kind: Kind, step: int) -> NDArray[np.float64]:
    """Mean squared gradients of the recent half of the steps, (layers, units)."""
    squared = "squared-gradient" in trajectory.shape.channels
    evidence = trajectory.evidence(kind, "squared-gradient" if squared else "gradient")
    total = np.zeros(evidence.shape[1:])
    first = (step + 1) // 2
    for values in evidence[first : step + 1]:
        total += np.asarray(values, dtype=np.float64) ** (1 if squared else 2)
    return total / max(1, step + 1 - first)


def _point(rule: BudgetRule, scores: NDArray[np.float64], ticket: Ticket) -> BudgetPoint | None:
    """A ticket's own, where it speaks of all kinds."""
    if set(ticket.masks) != set(rule.rules):
        return None
    mask = rule.stacked(ticket.masks)
    cost = rule.cost(mask)
    values = np.where(rule.valid(scores.shape[1]), scores, 0.0)
    worth = float((values * mask).sum() / values.sum()) if values.sum() > 0 else cost
    kept = {kind: sum(ticket.kept(kind)) for kind in rule.rules}
    return BudgetPoint(share=cost, cost=cost, worth=worth, chance=float(rule.by_chance(mask)), kept=kept)
