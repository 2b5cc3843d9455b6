"""Which number of a step's mask a detector watches, by name."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, get_args

from earlybird.errors import InputError

CriterionName = Literal[
    "nuclear-norm", "score-nuclear-norm", "effective-rank", "hamming", "overlap", "captured", "ema-overlap"
]
CRITERIA: tuple[CriterionName, ...] = get_args(CriterionName)
_LAGGED: tuple[CriterionName, ...] = ("hamming", "overlap", "captured")


@dataclass(frozen=True)
class Criterion:
    """A criterion with what it needs to be computed.

    - nuclear-norm: of the mask (the mission's, default).
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


def criterion_named(name: str) -> CriterionName:
    """The name itself, checked.

    Raises:
        InputError: no criterion has that name; the message names the nearest one.
    """
    for known in CRITERIA:
        if name == known:
            return known
    near = get_close_matches(name, CRITERIA, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(CRITERIA)}"
    raise InputError(f"there is no criterion {name!r}; {hint}")
