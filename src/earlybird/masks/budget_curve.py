"""What is kept against what it costs: the masks of many budgets from the same scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from earlybird.errors import InputError
from earlybird.masks.budget import BudgetRule
from earlybird.vocabulary import Kind

# From nearly all to nearly nothing.
SHARES = tuple(round(0.05 * step, 2) for step in range(19, 0, -1))


@dataclass(frozen=True)
class BudgetPoint:
    """One budget.

    Attributes:
        share: of the blocks' cost that was asked for.
        cost: the share that is left.
        worth: the share of all units' scores that the kept ones have.
        chance: the same of units that go in a random order to the same cost, on average.
        kept: units, per kind.
    """

    share: float
    cost: float
    worth: float
    chance: float
    kept: Mapping[Kind, int]


def budget_curve(
    rule: BudgetRule, scores: NDArray[np.floating], shares: Sequence[float] = SHARES
) -> tuple[BudgetPoint, ...]:
    """The points of a rule at other budgets, those that are possible, by scores (blocks, units) of all kinds stacked.

    Raises:
        InputError: a score is not finite.
    """
    values = np.where(rule.valid(scores.shape[1]), scores, 0.0).astype(np.float64)
    points = []
    for share in shares:
        try:
            at_share = replace(rule, budget=share)
        except InputError:  # less than is possible, as all that follow
            break
        mask = at_share.masks(values)
        cost = at_share.cost(mask)
        worth = float((values * mask).sum() / values.sum()) if values.sum() > 0 else cost
        kept = {kind: int(each.sum()) for kind, each in at_share.by_kind(mask).items()}
        points.append(BudgetPoint(share=share, cost=cost, worth=worth, chance=float(rule.by_chance(mask)), kept=kept))
    return tuple(points)
