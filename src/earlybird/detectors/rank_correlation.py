"""Rank correlation: units are in nearly the same order as some steps ago."""

from __future__ import annotations

import numpy as np

from earlybird.detectors.base import Observation
from earlybird.detectors.lagged import LaggedComparison
from earlybird.masks import Rule


class RankCorrelation(LaggedComparison):
    """Settled when the scores rank the units nearly as they did `lag` steps ago.

    The statistic is Spearman's correlation (1904) of the scores, over all units or, where the ratio holds in each
    block, averaged over the blocks. It asks more than the mask needs: units far from the threshold count too.

    Args:
        rule: ratio and scope of the kind.
        threshold, lag, every, start: see `LaggedComparison`.
    """

    def __init__(self, rule: Rule, *, threshold: float, lag: int, every: int, start: int = 0) -> None:
        super().__init__(threshold=threshold, lag=lag, every=every, start=start)
        self._rule = rule

    def similarity(self, earlier: Observation, now: Observation) -> float:
        """Spearman's correlation; NaN where one of the two ranks nothing, all scores being equal."""
        from scipy.stats import rankdata

        valid = self._rule.valid(now.mask.shape[-1])
        if not self._rule.by_block:
            valid = valid.reshape(1, -1)
        correlations = []
        for before, after, units in zip(
            earlier.scores.reshape(valid.shape), now.scores.reshape(valid.shape), valid, strict=True
        ):
            if units.sum() > 1:
                ranks = rankdata(before[units]), rankdata(after[units])
                centred = [rank - rank.mean() for rank in ranks]
                size = np.sqrt((centred[0] @ centred[0]) * (centred[1] @ centred[1]))
                correlations.append(centred[0] @ centred[1] / size if size > 0 else np.nan)
        return float(np.mean(correlations)) if correlations else 1.0
