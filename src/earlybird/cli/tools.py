"""The commands that need no run: recordings, models, detectors."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from earlybird.cli.application import app, quieten_libraries, show
from earlybird.cli.options import AsJson, with_settings
from earlybird.config import PruningConfig
from earlybird.errors import InputError


@app.command("import")
def import_recordings(
    source: Annotated[Path | None, typer.Argument(help="A directory of the study's recordings.")] = None,
    output: Annotated[Path, typer.Option(help="The trajectory's directory, new.")] = Path("trajectory"),
    heads: Annotated[Path | None, typer.Option(help="A .npy file, layers x steps x units.")] = None,
    neurons: Annotated[Path | None, typer.Option(help="A .npy file, layers x steps x units.")] = None,
    total_steps: Annotated[int | None, typer.Option(help="Planned steps of the run, if more than recorded.")] = None,
    steps_per_epoch: Annotated[float | None, typer.Option(help="For spans in epochs.")] = None,
    as_json: AsJson = False,
) -> None:
    """Import the study's .npy recordings as a trajectory, for `earlybird draw` and Trajectory.open."""
    from earlybird.trajectory import Trajectory, write_trajectory

    trajectory = Trajectory.from_npy(
        source, heads=heads, neurons=neurons, total_steps=total_steps, steps_per_epoch=steps_per_epoch
    )
    write_trajectory(trajectory, output)
    units = {kind: list(trajectory.shape.units[kind]) for kind in trajectory.kinds}
    show(
        {"trajectory": str(output), "steps": trajectory.steps, "units": units},
        f"{trajectory.steps:,} steps of {' and '.join(trajectory.kinds)} written to {output}",
        as_json,
    )


@app.command()
@with_settings(PruningConfig)
def inspect(
    model: Annotated[
        str, typer.Argument(help="A hub name, a directory, or a config.json alone; or a run's.", metavar="MODEL")
    ],
    settings: dict[str, Any],
    as_json: AsJson = False,
) -> None:
    """Print a model's attention heads, MLP neurons and experts, block by block, its parameters and FLOPs; and pruned.

    Of a run, print what its record says of every budget: what is kept of the evidence against what it costs.
    """
    if (Path(model) / "recipe.yaml").is_file():
        if settings:
            raise InputError(
                "a run is inspected at every budget, as its record was counted: leave out what is to be pruned, and"
                " --tokens; or draw by it"
            )
        _inspect_run(Path(model), as_json=as_json)
        return
    from earlybird.checkpoint.inspection import inspect_model

    quieten_libraries()
    config = PruningConfig(**settings)
    found = inspect_model(model, config, length=config.tokens)
    show(found.as_json(), str(found), as_json)


def _inspect_run(root: Path, *, as_json: bool) -> None:
    from rich.console import Console

    from earlybird.cli.tables import grid_table
    from earlybird.report.amount import percent
    from earlybird.report.budgets import COLUMNS, budgets_of_run, example_options, table_rows

    curve, own, shape = budgets_of_run(root)
    if as_json:
        print(json.dumps({"points": [asdict(point) for point in curve], "ticket": own and asdict(own)}, indent=1))
        return
    console = Console()
    console.print(grid_table(COLUMNS, table_rows(curve, shape)))
    if own is not None:
        console.print(f"The run's ticket costs {percent(own.cost)} and keeps {percent(own.worth)} of the evidence.")
    options = example_options(shape)
    console.print(f"Draw another by: earlybird draw {root} {options} --output TICKET", soft_wrap=True, markup=False)


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="The directory of a pruned model.", metavar="MODEL")],
    directory: Annotated[Path, typer.Argument(help="Where to write it.", metavar="DIRECTORY")],
    format: Annotated[
        Literal["dense", "onnx", "per-layer-config"],
        typer.Option(help="The original shape with zeros; an ONNX graph; a config that tells the layers apart."),
    ] = "dense",
    ticket: Annotated[Path | None, typer.Option(help="The ticket it was pruned by, for dense.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a pruned model for tools that do not know earlybird; tokenizers and the like are copied along."""
    quieten_libraries()
    from earlybird.exports.command import export_directory

    written = export_directory(model, directory, format, ticket)
    show({"directory": str(written), "format": format}, f"wrote {written}", as_json)


@app.command()
def publish(
    directory: Annotated[Path, typer.Argument(help="Where earlybird.save, or a run, wrote it.", metavar="DIRECTORY")],
    name: Annotated[str, typer.Argument(help="The repository, made if needed.", metavar="OWNER/NAME")],
    private: Annotated[bool, typer.Option("--private", help="Nobody else sees a repository that is made.")] = False,
    as_json: AsJson = False,
) -> None:
    """Upload a pruned model to the Hugging Face hub, with its card, its ticket and the run's summary."""
    quieten_libraries()
    from earlybird.checkpoint.publish import publish as publish_model
    from earlybird.recipes.run_directory import beside_model

    address = publish_model(directory, name, private=private, also=beside_model(directory))
    show({"repository": name, "address": address}, f"published at {address}", as_json)


@app.command()
def detectors(as_json: AsJson = False) -> None:
    """List the detectors with their null hypotheses and default settings."""
    from rich.console import Console

    from earlybird.cli.tables import detectors_table
    from earlybird.detectors.listing import described_detectors

    rows = described_detectors()
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        Console().print(detectors_table(rows))
