"""The sweep's directory.

sweep.json            the base recipe, and all cells ever asked for with what tells them apart
searches/NAME/        runs: one search each, recorded to its end
searches/NAME/kept/   weights at draws, to continue from; there while cells need them
cells/NAME/           runs: one training each; their initial model, trajectory and dense network are links
cells/NAME/cell.json  what it gave, or why it failed
logs/                 what the workers print
results.json, results.csv, results.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from earlybird import __version__
from earlybird.errors import InputError
from earlybird.recipes.reading import first_problem
from earlybird.recipes.run_directory import read_json, write_json
from earlybird.recipes.settings import Ratio
from earlybird.trajectory import Kind
from earlybird.whole_file import may_begin_in

if TYPE_CHECKING:
    from earlybird.recipes.sweep.plan import Plan

CELL = "cell.json"
CellName = Annotated[str, StringConstraints(pattern=r"^[\w.%-]+$", max_length=250)]
# Of the base recipe, what says nothing about a cell: where the files are, and what the sweep itself decides.
_FREE = ("output", "seed", "dense", "random")


class _Labels(BaseModel):
    """What sweep.json says of a cell."""

    model_config = ConfigDict(strict=True)

    draw: str
    ratio: dict[Kind, Ratio] | None
    score: str | None
    coefficients: str | None
    start: str | None
    seed: int
    axes: dict[str, Any]
    dense: str


class _Description(BaseModel):
    """What sweep.json holds."""

    recipe: dict[str, Any]
    cells: dict[CellName, _Labels]


@dataclass(frozen=True)
class SweepDirectory:
    """The paths of a sweep."""

    root: Path

    @property
    def description(self) -> Path:
        """What the sweep is, JSON."""
        return self.root / "sweep.json"

    @property
    def logs(self) -> Path:
        """What the workers print."""
        return self.root / "logs"

    def search(self, name: str) -> Path:
        """A search's run directory."""
        return self.root / "searches" / name

    def kept(self, search: str) -> Path:
        """The weights that a search's replay kept, a directory per step."""
        return self.search(search) / "kept"

    def cell(self, name: str) -> Path:
        """A cell's run directory."""
        return self.root / "cells" / name

    def results(self, ending: str) -> Path:
        """The table."""
        return self.root / f"results.{ending}"

    def is_sweep(self) -> bool:
        """Whether a sweep was begun here."""
        return self.description.is_file()

    def described(self) -> dict[str, Any]:
        """The content of sweep.json.

        Raises:
            InputError: the file is missing or damaged.
        """
        content = read_json(self.description)
        try:
            _Description.model_validate(content)
        except ValidationError as error:
            raise InputError(f"{self.description} is damaged: {first_problem(error, _Description)}") from error
        return content

    def planned(self) -> dict[str, dict[str, Any]]:
        """The cells asked for so far: by name their labels, and the name of the dense cell each is compared with.

        Raises:
            InputError: the file is missing or damaged.
        """
        cells: dict[str, dict[str, Any]] = self.described()["cells"]
        return cells


def begin_sweep(files: SweepDirectory, plan: Plan) -> None:
    """Write down what is asked for, beside what was asked for before.

    Raises:
        InputError: the directory holds something else, or a sweep of another recipe.
    """
    written = plan.base.model_dump(mode="json")
    cells: dict[str, Any] = {}
    if files.is_sweep():
        # Through the settings, so that a key that is new since then has its default on both sides.
        from earlybird.recipes.reading import validated
        from earlybird.recipes.stages.job import differences

        before = validated(files.described()["recipe"], str(files.description)).model_dump(mode="json")
        changed = sorted(differences(_fixed(before), _fixed(written)))
        if changed:
            raise InputError(
                f"{files.root} holds a sweep of another recipe ({', '.join(changed[:5])} differ); choose another"
                " directory with --output, or give --axis to vary a key within one sweep"
            )
        cells = files.planned()
    elif not may_begin_in(files.root, files.description):
        raise InputError(f"{files.root} exists and holds no sweep; choose another directory with --output")
    cells |= {name: {**cell.labels, "dense": cell.dense} for name, cell in plan.cells.items()}
    write_json(files.description, {"earlybird": __version__, "recipe": written, "cells": cells})


def _fixed(recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in recipe.items() if key not in _FREE}
