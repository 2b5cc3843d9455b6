"""Which number of a step's mask a detector watches, by name."""

from __future__ import annotations

from dataclasses import dataclass

from earlybird.vocabulary import CriterionName

_LAGGED: tuple[CriterionName, ...] = ("hamming", "overlap", "captured")


@dataclass(frozen=True)
class Criterion:
    """A criterion with what it needs to be computed.

    - nuclear-norm: of the mask (the default).
    - score-nuclear-norm: of the scores.
    - effective-rank: of the mask (Roy and Vetterli 2007).
    - hamming: distance of the mask from that `lag` steps ago, the fraction of units that differ.
    - overlap: of the mask with that `lag` steps ago.
    - captured: how much of today's best choice, by today's scores, the mask `lag` steps ago is.
    - ema-overlap: mean share of the mask's kept units that earlier masks kept, weighted by (1 - 1/lag)^age, so that
      these are `lag` steps old on average.
    """

    name: CriterionName = "nuclear-norm"
    lag: int = 0

    def __str__(self) -> str:
        return f"{self.name} over {self.lag} steps" if self.lag else self.name

    @property
    def missing(self) -> int:
        """Steps at the start of a run that have no value, NaN, because there is nothing to compare with."""
        if self.name in _LAGGED:
            return self.lag
        return 1 if self.name == "ema-overlap" else 0


NUCLEAR_NORM = Criterion()


def has_lag(name: CriterionName) -> bool:
    """Whether a criterion compares with earlier masks."""
    return name in _LAGGED or name == "ema-overlap"
