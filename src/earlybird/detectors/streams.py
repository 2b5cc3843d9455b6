"""What detectors watch: each kind of unit by itself, or with a budget the units of all kinds together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from earlybird.config import SearchConfig
from earlybird.detectors.scores import Scores
from earlybird.masks import BudgetRule, MaskRule, Prunable, Rule, UnitCosts, budget_rule, mask_rules
from earlybird.vocabulary import Kind, Stream

Value = TypeVar("Value")


class Streams:
    """The streams of a search, and how the scores of its kinds become theirs.

    Args:
        config: what is pruned.
        source: of the units.
        costs: of the units, where there is a budget and the source does not know them.

    Attributes:
        kinds: how many units there are and which go together, of each kind that is pruned; with a budget at ratio 0.
        rules: how a stream's scores become masks.
        budget: that of all kinds, or None.

    Raises:
        InputError: nothing to prune, a ratio that prunes nothing, or a budget that cannot be met.
    """

    def __init__(self, config: SearchConfig, source: Prunable, costs: UnitCosts | None = None) -> None:
        self.budget: BudgetRule | None = budget_rule(config, source, costs)
        self.kinds: dict[Kind, MaskRule] = (
            mask_rules(config, source) if self.budget is None else dict(self.budget.rules)
        )
        self.rules: dict[Stream, Rule] = dict(self.kinds.items()) if self.budget is None else {"units": self.budget}

    def scores(self, scores: Mapping[Kind, Scores]) -> dict[Stream, Scores]:
        """Scores of some steps, of each kind, as those of the streams."""
        if self.budget is None:
            return {kind: scores[kind] for kind in self.kinds}
        first = next(iter(scores.values())).first
        return {"units": Scores(self.budget.stacked({kind: scores[kind].values for kind in self.kinds}), first=first)}

    def arrays(self, scores: Mapping[Kind, NDArray[np.floating]]) -> dict[Stream, NDArray[np.floating]]:
        """Scores of one step, (layers, units) of each kind, as those of the streams."""
        if self.budget is None:
            return {kind: scores[kind] for kind in self.kinds}
        return {"units": self.budget.stacked(scores)}

    def by_kind(self, masks: Mapping[Stream, NDArray[np.bool_]]) -> dict[Kind, NDArray[np.bool_]]:
        """The streams' masks as those of the kinds."""
        if self.budget is None:
            return {kind: masks[kind] for kind in self.kinds}
        return self.budget.by_kind(masks["units"])

    def each_kind(self, values: Mapping[Stream, Value]) -> dict[Kind, Value]:
        """For each kind what is said of its stream, where that is known."""
        streams: dict[Kind, Stream] = {kind: kind if self.budget is None else "units" for kind in self.kinds}
        return {kind: values[stream] for kind, stream in streams.items() if stream in values}

    def kept_by_minimum(
        self, scores: Mapping[Stream, NDArray[np.floating]], masks: Mapping[Stream, NDArray[np.bool_]]
    ) -> dict[Kind, tuple[int, ...]]:
        """Blocks of each kind that keep a unit only because none may lose its last one."""
        if self.budget is not None:
            return self.budget.kept_by_minimum(scores["units"], masks["units"])
        return {kind: rule.kept_by_minimum(scores[kind]) for kind, rule in self.kinds.items()}
