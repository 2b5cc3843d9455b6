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

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from earlybird.errors import InputError
from earlybird.recipes.recipe_file import first_problem
from earlybird.recipes.run_directory import read_json
from earlybird.vocabulary import Kind, Measure

CELL = "cell.json"
CellName = Annotated[str, StringConstraints(pattern=r"^[\w.%-]+$", max_length=250)]


class _Labels(BaseModel):
    """What sweep.json says of a cell."""

    model_config = ConfigDict(strict=True)

    draw: str
    ratio: dict[Kind | Measure, Annotated[float, Field(ge=0, lt=1)]] | None
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
