"""Which unit is looked at by itself: the one that was named, or those that change places most."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from earlybird.errors import InputError
from earlybird.report.one_by_one import one_of
from earlybird.report.series import MaskSeries, scores_at
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import KINDS, Kind, Score

_WRITTEN = re.compile(rf"(?P<kind>{'|'.join(KINDS)})\.(?P<layer>\d{{1,9}})\.(?P<position>\d{{1,9}})")


@dataclass(frozen=True)
class OneUnit:
    """A unit by its place: `layer` counts the blocks of its kind, `position` the units in one, both from 0."""

    kind: Kind
    layer: int
    position: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a unit as people write it.

        >>> OneUnit.parse("heads.3.7")
        OneUnit(kind='heads', layer=3, position=7)

        Raises:
            InputError: it is not written like that.
        """
        found = _WRITTEN.fullmatch(text)
        if found is None:
            raise InputError(f"a unit is written KIND.LAYER.POSITION, as heads.3.7, got {text!r}")
        kind = next(kind for kind in KINDS if kind == found["kind"])
        return cls(kind, int(found["layer"]), int(found["position"]))

    def __str__(self) -> str:
        return f"{one_of(self.kind)} {self.position} of layer {self.layer}"

    def check(self, trajectory: Trajectory, kinds: Collection[Kind]) -> None:
        """Raise InputError where a record has no such unit, or nothing of its kind (not in `kinds`) is pruned."""
        if self.kind not in kinds:
            raise InputError(f"there is no {self}: {', '.join(kinds) or 'nothing'} is what is pruned")
        units = trajectory.shape.units[self.kind]
        if self.layer >= len(units):
            raise InputError(f"there is no {self}: layers are 0 to {len(units) - 1}")
        if self.position >= units[self.layer]:
            raise InputError(f"there is no {self}: that layer has {units[self.layer]:,} {self.kind}, counted from 0")


def restless_units(kind: Kind, series: MaskSeries, most: int) -> list[OneUnit]:
    """The units that enter or leave the shown masks most often, at most so many, the most restless first."""
    width = series.shown.shape[-1]
    changes = (series.shown[1:] != series.shown[:-1]).sum(0)
    # Padding is behind all units.
    ranks = np.where(np.arange(width) < np.asarray(series.units)[:, None], changes, -1).ravel()
    chosen = np.argsort(-ranks, kind="stable")[: min(most, sum(series.units))]
    return [OneUnit(kind, *divmod(int(place), width)) for place in chosen]


def unit_series(
    trajectory: Trajectory, score: Score, units: Collection[OneUnit], steps: NDArray[np.int64]
) -> Iterator[NDArray[np.float64]]:
    """The scores of units of one kind at some steps, (n,) for each unit in turn.

    Raises:
        InputError: the trajectory did not record what the score needs, or scores are not finite.
    """
    layers, positions = [unit.layer for unit in units], [unit.position for unit in units]
    (kind,) = {unit.kind for unit in units}
    chunks = [scores[:, layers, positions] for scores in scores_at(trajectory, kind, score, steps)]
    yield from np.concatenate(chunks).T
