"""The commands that show what a run has given, or a sweep: the report, the study's figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from earlybird.cli.application import app, show
from earlybird.cli.options import AsJson, RunPath, with_settings
from earlybird.cli.show_results import REPORT_PACKAGES, show_comparison, show_results
from earlybird.config import DetectorConfig, PruningConfig
from earlybird.errors import InputError
from earlybird.extras import require


@app.command()
def report(
    run_path: RunPath,
    other: Annotated[
        Path | None, typer.Argument(help="A second run of the same task: show both side by side.", metavar="[RUN]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Where the page of two runs goes, by default into the first.", metavar="FILE", dir_okay=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write summary.json, report.html and the figures of a run, or the table of a sweep, finished or not.

    Of two runs of one task, write one page that shows them side by side.
    """
    from earlybird.recipes.sweep.directory import SweepDirectory

    if other is not None:
        for each in (run_path, other):
            if SweepDirectory(each).is_sweep():
                raise InputError(f"{each} is a sweep: to compare two of its cells, give {each / 'cells'}/NAME of each")
        _require_report("earlybird report")
        show_comparison(run_path, other, output, as_json=as_json)
        return
    if output is not None:
        raise InputError("--output is for the page of two runs: give a second one")
    if SweepDirectory(run_path).is_sweep():
        from earlybird.cli.sweeps import show_sweep

        show_sweep(run_path, as_json=as_json)
        return
    _require_report("earlybird report")
    show_results(run_path, as_json=as_json)


@app.command()
@with_settings(PruningConfig, DetectorConfig, leaving=["exclude"])
def figures(
    source: Annotated[Path, typer.Argument(help="A run's directory, or a trajectory's.", metavar="RUN")],
    figure: Annotated[
        list[str] | None, typer.Option(help="One of the figures, again for each; by default all.")
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            help="Which one unit-regressions and unit-states show, as heads.3.7: layer 3, head 7; by default the one"
            " that enters or leaves the mask most often.",
            metavar="KIND.LAYER.POSITION",
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Where to write, by default RUN/figures.")] = None,
    settings: dict[str, Any] | None = None,
    as_json: AsJson = False,
) -> None:
    """Write the study's figures and tables of a recorded search, each as PNG, SVG and its data as CSV.

    norm-windows is an animation: its frames are PNG files in a directory of their own.

    A trajectory by itself needs a ratio (--heads, --neurons, --experts); of a run its ticket says what is pruned
    and by what, before the draw its recipe. A run under other settings than these needs --output.
    """
    _require_report("earlybird figures")
    from earlybird.report.figures.listing import write_figures

    given = settings or {}
    if given and output is None and not (source / "trajectory.json").is_file():
        raise InputError(f"give --output: {source / 'figures'} is for the run's own settings")
    written = write_figures(source, output or source / "figures", figure or [], given, unit)
    lines = [
        f"{name}: {', '.join(map(str, paths)) or 'nothing to show in this run'}" for name, paths in written.items()
    ]
    show({name: list(map(str, paths)) for name, paths in written.items()}, "\n".join(lines), as_json)


def _require_report(what: str) -> None:
    for module in REPORT_PACKAGES:
        require(module, extra="report", what=what)
