"""The command of a sweep, and its table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from earlybird.cli.application import app, quieten_libraries
from earlybird.cli.options import AsJson, Overrides, RecipeName
from earlybird.errors import JobError


@app.command()
def sweep(
    recipe: RecipeName,
    overrides: Overrides = None,
    draw_at: Annotated[
        str | None, typer.Option(help='Places of the search to draw at, e.g. "0.5%,4%,100,3ep".', metavar="SPANS")
    ] = None,
    detectors: Annotated[
        str | None, typer.Option("--detector", help="Detectors to draw by, see `earlybird detectors`.", metavar="NAMES")
    ] = None,
    ratios: Annotated[
        str | None, typer.Option("--ratio", help='Fractions to prune, e.g. "0.3,0.8".', metavar="RATIOS")
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option("--score", help="coefficient, gradient, squared-gradient: what ranks the units.", metavar="NAMES"),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="rewind, continue: what the pruned networks start from.", metavar="NAMES")
    ] = None,
    also: Annotated[
        str | None,
        typer.Option(help="dense, random, final (the mask at the search's end), or more detectors.", metavar="NAMES"),
    ] = None,
    seeds: Annotated[int, typer.Option(help="So many, counted up from the recipe's.")] = 1,
    axis: Annotated[
        list[str] | None,
        typer.Option(
            help="A further key of the recipe: slimming.slim=after,before; may be repeated.", metavar="KEY=A,B"
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The sweep's directory; by default the recipe's output and -sweep.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Trainings at a time, of one thread each if several.")] = 1,
    engine: Annotated[Literal["processes", "ray"], typer.Option(help="What runs the workers.")] = "processes",
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Keep the trained networks, too; of cells done before they are gone.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train the networks of many draws, ratios and seeds of a recipe, and tabulate them. What is done is kept."""
    from earlybird.recipes.sweep.settings import sweep_settings

    given = {
        "draw_at": draw_at,
        "detectors": detectors,
        "ratios": ratios,
        "scores": scores,
        "weights": weights,
        "also": also,
        "seeds": seeds,
    }
    settings = sweep_settings(given, axis or [])
    from earlybird.recipes.recipe_file import read_recipe

    own = Path(read_recipe(recipe, overrides or []).output)
    root = output or own.with_name(own.name + "-sweep")
    quieten_libraries()
    from earlybird.recipes.one_at_a_time import alone_in
    from earlybird.recipes.sweep.begin import begin_sweep
    from earlybird.recipes.sweep.directory import SweepDirectory
    from earlybird.recipes.sweep.engines import engine_named
    from earlybird.recipes.sweep.plan import plan_sweep
    from earlybird.recipes.sweep.run import run_sweep

    files = SweepDirectory(root)
    plan = plan_sweep(recipe, overrides or [], settings, root)
    chosen = engine_named(engine, workers, files.logs)
    failures: dict[str, str] = {}
    last = ""
    with alone_in(root):
        begin_sweep(files, plan)
        for finished in run_sweep(files, plan, chosen, keep_models=keep_models):
            print(f"{finished.what}: {finished.seconds:.0f} s", file=sys.stderr)
            for cell, error in finished.failures.items():
                print(f"failed: {cell}: {'for the same reason' if error == last else error}", file=sys.stderr)
                failures[cell] = last = error
        if len(failures) < len(plan.cells):
            show_sweep(root, as_json=as_json)
    if failures:
        cell, error = next(iter(failures.items()))
        raise JobError(
            f"{len(failures)} of {len(plan.cells)} cells failed, the first ({cell}) because {error}; the same command"
            " tries them again, and the others are kept"
        )


def show_sweep(root: Path, *, as_json: bool) -> None:
    """Print what there is of a sweep, and write it beside its cells."""
    from rich.console import Console

    from earlybird.cli.tables import grid_table
    from earlybird.recipes.sweep.directory import SweepDirectory
    from earlybird.recipes.sweep.table import gather
    from earlybird.recipes.sweep.text import central_grid, grid, write_table

    files = SweepDirectory(root)
    table = gather(files)
    content: dict[str, Any] = write_table(table, files)
    if as_json:
        print(json.dumps(content, indent=1))
        return
    # What goes into a file or a pipe has no width to be folded to.
    console = Console(width=None if sys.stdout.isatty() else 200)
    for each in (central_grid(table), grid(table)):
        console.print(grid_table(*each))
    for note in table.notes:
        console.print(note, soft_wrap=True, markup=False, highlight=False)
    console.print(f"Table: {files.results('md')}, also .csv and .json", soft_wrap=True, markup=False)
