"""Writing down what a sweep is asked for, beside what was asked for before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from earlybird import __version__
from earlybird.atomic_write import may_begin_in
from earlybird.errors import InputError
from earlybird.recipes.former_names import written_recipe
from earlybird.recipes.recipe_file import validated
from earlybird.recipes.run_directory import write_json
from earlybird.recipes.stages.job import differences
from earlybird.recipes.sweep.directory import SweepDirectory
from earlybird.recipes.sweep.plan import Plan

# Of the base recipe, what says nothing about a cell: where the files are, and what the sweep itself decides.
_FREE = ("output", "seed", "dense", "dense_matched", "random")


def begin_sweep(files: SweepDirectory, plan: Plan) -> None:
    """Write down what is asked for, beside what was asked for before.

    Raises:
        InputError: the directory holds something else, or a sweep of another recipe.
    """
    written = plan.base.model_dump(mode="json")
    cells: dict[str, Any] = {}
    if files.is_sweep():
        # Through the settings, so that a key that is new since then has a value on both sides.
        before = validated(written_recipe(files.described()["recipe"]), str(files.description)).model_dump(mode="json")
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
