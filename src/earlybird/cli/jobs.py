"""The commands of a job and its stages: from the recipe to the report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from earlybird.cli.application import AsJson, app, quieten_libraries, show
from earlybird.errors import InputError

if TYPE_CHECKING:
    from earlybird.recipes.stages.job import Job

Force = Annotated[bool, typer.Option("--force", help="Do again what was done before, replacing it.")]
RecipeName = Annotated[str, typer.Argument(help="A YAML file, or the name of a recipe that ships with earlybird.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="key=value, e.g. search.heads=0.3", metavar="[KEY=VALUE]...")
]
RunPath = Annotated[Path, typer.Argument(help="A run's directory.", metavar="RUN")]
HeadsRatio = Annotated[float | None, typer.Option(help="Ratio of heads to prune, in [0, 1).")]
NeuronsRatio = Annotated[float | None, typer.Option(help="Ratio of neurons to prune, in [0, 1).")]
ScopeOption = Annotated[Literal["layer", "global"] | None, typer.Option(help="Where the threshold lies.")]
ScoreOption = Annotated[
    Literal["coefficient", "gradient", "squared-gradient"] | None, typer.Option(help="What ranks the units.")
]
WhichOption = Annotated[Literal["ticket", "random"], typer.Option(help="The drawn ticket, or the random one.")]
StartOption = Annotated[
    Literal["rewind", "continue"], typer.Option(help="From the initial weights, or from those at the draw.")
]


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="The run's directory.")] = Path("runs/demo"),
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """See the whole idea work: dense, early-bird and random tickets on handwritten digits, in three minutes."""
    # As JSON it is YAML that says nothing but the text.
    _run("digits", [f"output={json.dumps(str(output))}"], force=force, as_json=as_json)


@app.command()
def run(recipe: RecipeName, overrides: Overrides = None, force: Force = False, as_json: AsJson = False) -> None:
    """Do a whole job: dense training, search, draw, prune, train on, report. Finished stages are kept."""
    _run(recipe, overrides or [], force=force, as_json=as_json)


@app.command()
def search(
    recipe: RecipeName,
    overrides: Overrides = None,
    to_the_end: Annotated[bool, typer.Option("--to-the-end", help="Go on after the draw.")] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Train with slimming coefficients, record them, stop when the masks have settled."""
    from earlybird.recipes.run_directory import RESULT, read_search

    job = _begin(recipe, [*(overrides or []), *(["search.to_the_end=true"] if to_the_end else [])], force=force)
    from earlybird.recipes.stages.search import search as run_search

    done = run_search(job)
    result = read_search(job.files.search / RESULT)
    drawn = f"drawn at step {result['draw_step']}" if result["settled"] else "not settled"
    show(result, f"search {'finished' if done else 'was done before'}: {drawn} of {result['total_steps']}", as_json)


@app.command()
def draw(
    source: Annotated[Path, typer.Argument(help="A run's directory; or a trajectory's, to print.", metavar="RUN")],
    detector: Annotated[
        str | None, typer.Option(help="See `earlybird detectors`; all: print what each says and draw nothing.")
    ] = None,
    heads: HeadsRatio = None,
    neurons: NeuronsRatio = None,
    heads_scope: ScopeOption = None,
    neurons_scope: ScopeOption = None,
    score: ScoreOption = None,
    smoothing: Annotated[str | None, typer.Option(help='A span: 200, "2%" or "3ep".')] = None,
    window: Annotated[str | None, typer.Option(help="A span.")] = None,
    every: Annotated[str | None, typer.Option(help="A span.")] = None,
    start: Annotated[str | None, typer.Option(help="A span.")] = None,
    lag: Annotated[
        str | None, typer.Option(help="A span: how long ago the mask or order is that today's is compared with.")
    ] = None,
    criterion: Annotated[
        str | None, typer.Option(help="What a windowed detector reads: nuclear-norm, overlap, captured, ...")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="What the statistic is compared with.")] = None,
    at: Annotated[
        str | None, typer.Option(help='At this step (260), fraction ("20%") or epoch ("3ep") instead.')
    ] = None,
    random: Annotated[
        int | None, typer.Option(help="At random with this seed instead, into --output.", metavar="SEED", min=0)
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write the ticket here instead of into the run.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Draw a ticket from a search's record: by any detector, at a given step, or at random."""
    changes = {
        "detector": detector,
        "heads": heads,
        "neurons": neurons,
        "heads_scope": heads_scope,
        "neurons_scope": neurons_scope,
        "score": score,
        "smoothing": smoothing,
        "window": window,
        "every": every,
        "start": start,
        "lag": lag,
        "criterion": criterion,
        "threshold": threshold,
    }
    changes = {key: value for key, value in changes.items() if value is not None}
    if detector == "all" or (source / "trajectory.json").is_file():
        if at is not None or random is not None or output is not None or force:
            raise InputError("no ticket is drawn here, so --at, --random, --output and --force have no meaning")
        _compare(source, changes, as_json=as_json)
        return
    from earlybird.recipes.stages.draw import draw_ticket

    ticket, written = draw_ticket(
        _open(source),
        changes,
        at=at,
        random_seed=random,
        output=output,
        force=force,
    )
    show({"ticket": str(written), **ticket.provenance}, f"{ticket}\nwritten to {written}", as_json)


@app.command()
def prune(
    run_path: RunPath,
    start: StartOption = "rewind",
    which: WhichOption = "ticket",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Remove the pruned heads and neurons from the initial weights, or from those at the draw."""
    job = _open(run_path)
    from earlybird.recipes.stages.prune import prune_run

    done = prune_run(job, start, which, force=force)
    target = job.files.pruned(start, which)
    show({"model": str(target)}, f"{'wrote' if done else 'there was already'} {target}", as_json)


@app.command()
def train(
    run_path: RunPath,
    start: StartOption = "rewind",
    which: Annotated[Literal["ticket", "random", "dense"], typer.Option(help="Which network.")] = "ticket",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Train a pruned network, or the dense one to compare it with."""
    from earlybird.recipes.metric_names import deciding_metric, metric_title
    from earlybird.recipes.run_directory import RESULT, read_result

    job = _open(run_path)
    target = job.files.dense if which == "dense" else job.files.trained(start, which)
    if which == "dense":
        from earlybird.recipes.stages.dense import train_dense

        done = train_dense(job, force=force)
    else:
        from earlybird.recipes.stages.retrain import retrain

        done = retrain(job, start, which, force=force)
    result = read_result(target / RESULT, ())
    metric = deciding_metric(result)
    said = f"{'trained' if done else 'was trained before'}: {metric_title(metric)} {result[metric]:.1f}%"
    show(result, said, as_json)


@app.command()
def report(run_path: RunPath, as_json: AsJson = False) -> None:
    """Write summary.json, report.html and the figures of a run, or the table of a sweep, finished or not."""
    from earlybird.recipes.sweep.directory import SweepDirectory

    if SweepDirectory(run_path).is_sweep():
        from earlybird.cli.sweeps import show_sweep

        show_sweep(run_path, as_json=as_json)
        return
    _report(run_path, as_json=as_json)


@app.command()
def figures(
    source: Annotated[Path, typer.Argument(help="A run's directory, or a trajectory's.", metavar="RUN")],
    figure: Annotated[
        list[str] | None, typer.Option(help="One of the figures, again for each; by default all.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Where to write, by default RUN/figures.")] = None,
    heads: HeadsRatio = None,
    neurons: NeuronsRatio = None,
    heads_scope: ScopeOption = None,
    neurons_scope: ScopeOption = None,
    score: ScoreOption = None,
    detector: Annotated[str | None, typer.Option(help="See `earlybird detectors`.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the study's figures and tables of a recorded search, each as PNG, SVG and its data as CSV.

    A trajectory by itself needs --heads, --neurons or both; of a run its ticket says what is pruned and by what, before
    the draw its recipe. A run under other settings than these needs --output.
    """
    from earlybird.report.artefacts.listing import write_artefacts

    changes = {
        "heads": heads,
        "neurons": neurons,
        "heads_scope": heads_scope,
        "neurons_scope": neurons_scope,
        "score": score,
        "detector": detector,
    }
    given = {key: value for key, value in changes.items() if value is not None}
    if given and output is None and not (source / "trajectory.json").is_file():
        raise InputError(f"give --output: {source / 'figures'} is for the run's own settings")
    written = write_artefacts(source, output or source / "figures", figure or [], given)
    lines = [
        f"{name}: {', '.join(map(str, paths)) or 'nothing to show in this run'}" for name, paths in written.items()
    ]
    show({name: list(map(str, paths)) for name, paths in written.items()}, "\n".join(lines), as_json)


@app.command()
def data(recipe: RecipeName, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Fetch or check a recipe's data and pretrained weights ahead of training."""
    from earlybird.recipes.reading import read_recipe

    settings = read_recipe(recipe, overrides or [])
    quieten_libraries()
    from earlybird.recipes.tasks import task_of

    counts = task_of(settings).fetch()
    show({"train": counts.train, "evaluation": counts.evaluation, "labels": list(counts.labels)}, str(counts), as_json)


def _run(recipe: str, overrides: list[str], *, force: bool, as_json: bool) -> None:
    job = _begin(recipe, overrides, force=force)
    from earlybird.recipes.stages.run import run_stages

    for stage, done in run_stages(job):
        if not done:
            print(f"{stage}: was done before", file=sys.stderr)
    _report(job.files.root, as_json=as_json)


def _begin(recipe: str, overrides: list[str], *, force: bool) -> Job:
    from earlybird.recipes.reading import read_recipe

    settings = read_recipe(recipe, overrides)
    quieten_libraries()
    from earlybird.recipes.stages.job import Job

    return Job.begin(settings, force=force)


def _open(root: Path) -> Job:
    quieten_libraries()
    from earlybird.recipes.stages.job import Job

    return Job.open(root)


def _compare(source: Path, changes: dict[str, Any], *, as_json: bool) -> None:
    from rich.console import Console

    from earlybird.console import verdicts_table

    quieten_libraries()
    from earlybird.recipes.stages.compare import compare

    trajectory, verdicts = compare(source, changes)
    if as_json:
        rows = [{"detector": name, **verdict.description()} for name, verdict in verdicts.items()]
        print(json.dumps(rows, indent=1))
    else:
        # What goes into a file or a pipe has no width to be folded to.
        console = Console(width=None if sys.stdout.isatty() else 160)
        console.print(verdicts_table(verdicts, trajectory.steps, trajectory.total_steps))


def _report(root: Path, *, as_json: bool) -> None:
    from rich.console import Console

    from earlybird.console import results_table
    from earlybird.recipes.run_directory import RESULT, RunDirectory
    from earlybird.recipes.stages.summary import summarise
    from earlybird.report import verdict, write_report

    # First, so that a run in which nothing has finished, or something is damaged, has one, too.
    page = write_report(root)
    summary: dict[str, Any] = {}
    sentence = "Not finished: no stage has ended yet."
    if any(root.rglob(RESULT)):
        summary = summarise(RunDirectory(root))
        page = write_report(root)
        sentence = verdict(summary)
    if as_json:
        print(json.dumps(summary or {"unfinished": sentence, "report": str(page)}, indent=1))
        return
    console = Console()
    if summary:
        console.print(results_table(summary))
    console.print(sentence, soft_wrap=True, markup=False)
    console.print(f"Report: {page}", soft_wrap=True, markup=False)
