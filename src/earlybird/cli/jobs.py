"""The commands of a job and its stages: from the recipe to the trained networks."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from earlybird.cli.application import app, quieten_libraries, show
from earlybird.cli.options import (
    AsJson,
    Force,
    Overrides,
    RecipeName,
    RunPath,
    WeightsOption,
    WhichOption,
    with_settings,
)
from earlybird.cli.show_results import show_results
from earlybird.config import DetectorConfig, PruningConfig
from earlybird.errors import InputError
from earlybird.vocabulary import MEASURES, Measure

if TYPE_CHECKING:
    from earlybird.recipes.stages.job import Job


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="The run's directory.")] = Path("runs/demo"),
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a small network on digits, dense and cut early, and see what that saves; in three minutes."""
    # As JSON it is YAML that says nothing but the text.
    _run("digits-finetune", [f"output={json.dumps(str(output))}"], force=force, as_json=as_json)


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
    """Train, record what ranks the units, stop when the masks have settled."""
    from earlybird.recipes.run_directory import RESULT, read_search

    with _begun(recipe, [*(overrides or []), *(["search.to_the_end=true"] if to_the_end else [])], force=force) as job:
        from earlybird.recipes.stages.search import search as run_search

        _tell_notes(job)
        done = run_search(job)
        result = read_search(job.files.search / RESULT)
    drawn = f"drawn at step {result['draw_step']}" if result["settled"] else "not settled"
    show(result, f"search {'finished' if done else 'was done before'}: {drawn} of {result['total_steps']}", as_json)


@app.command()
# What was left alone was not recorded.
@with_settings(PruningConfig, DetectorConfig, leaving=["exclude"], several=MEASURES)
def draw(
    source: Annotated[Path, typer.Argument(help="A run's directory; or a trajectory's, to print.", metavar="RUN")],
    settings: dict[str, Any],
    at: Annotated[
        str | None, typer.Option(help='At this step (260), fraction ("20%") or epoch ("3ep") instead.')
    ] = None,
    random: Annotated[
        int | None, typer.Option(help="At random with this seed instead, into --output.", metavar="SEED", min=0)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Write the ticket here instead of into the run; of several budgets a directory."),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Draw a ticket from a search's record: by any detector, at a given step, or at random.

    Several budgets, --flops 0.3,0.4,0.5, give a ticket each, in the directory --output. With --detector all, or a
    trajectory by itself, print what each detector says and draw nothing.
    """
    budgets = {name: _shares(name, settings.pop(name)) for name in MEASURES if name in settings}
    if any(len(shares) > 1 for shares in budgets.values()):
        _draw_each(source, settings, budgets, at=at, random=random, output=output, force=force, as_json=as_json)
        return
    settings |= {name: share for name, (share,) in budgets.items()}
    if settings.get("detector") == "all" or (source / "trajectory.json").is_file():
        if at is not None or random is not None or output is not None or force:
            raise InputError("no ticket is drawn here, so --at, --random, --output and --force have no meaning")
        _compare(source, settings, as_json=as_json)
        return
    from earlybird.recipes.stages.draw import draw_ticket

    with _opened(source) as job:
        ticket, written = draw_ticket(job, settings, at=at, random_seed=random, output=output, force=force)
    show({"ticket": str(written), **ticket.provenance}, f"{ticket}\nwritten to {written}", as_json)


@app.command()
def prune(
    run_path: RunPath,
    weights: WeightsOption = None,
    which: WhichOption = "ticket",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Remove the pruned units from the initial weights, or from those at the draw."""
    with _opened(run_path) as job:
        from earlybird.recipes.stages.prune import prune_run
        from earlybird.recipes.stages.run import weights_of

        weights = weights or weights_of(job.recipe)[0]
        done = prune_run(job, weights, which, force=force)
        target = job.files.pruned(weights, which)
    show({"model": str(target)}, f"{'wrote' if done else 'there was already'} {target}", as_json)


@app.command()
def train(
    run_path: RunPath,
    weights: WeightsOption = None,
    which: Annotated[Literal["ticket", "random", "dense"], typer.Option(help="Which network.")] = "ticket",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Train a pruned network, or the dense one to compare it with."""
    from earlybird.recipes.metric_names import deciding_metric, metric_title
    from earlybird.recipes.run_directory import RESULT, read_result

    with _opened(run_path) as job:
        from earlybird.recipes.stages.run import weights_of

        weights = weights or weights_of(job.recipe)[0]
        _tell_notes(job)
        target = job.files.dense if which == "dense" else job.files.trained(weights, which)
        if which == "dense":
            from earlybird.recipes.stages.dense import train_dense

            done = train_dense(job, force=force)
        else:
            from earlybird.recipes.stages.retrain import retrain

            done = retrain(job, weights, which, force=force)
        result = read_result(target / RESULT, ())
    metric = deciding_metric(result)
    said = f"{'trained' if done else 'was trained before'}: {metric_title(metric)} {result[metric]:.1f}%"
    show(result, said, as_json)


@app.command()
def data(recipe: RecipeName, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Fetch or check a recipe's data and pretrained weights ahead of training."""
    from earlybird.recipes.recipe_file import read_recipe

    settings = read_recipe(recipe, overrides or [])
    quieten_libraries()
    from earlybird.recipes.tasks import task_of

    counts = task_of(settings).fetch()
    content = {"train": counts.train, "evaluation": counts.evaluation, "labels": list(counts.labels)}
    show({**content, "notes": list(counts.notes)}, str(counts), as_json)


def _run(recipe: str, overrides: list[str], *, force: bool, as_json: bool) -> None:
    with _begun(recipe, overrides, force=force) as job:
        from earlybird.recipes.stages.run import run_stages

        _tell_notes(job)
        for stage, done in run_stages(job):
            if not done:
                print(f"{stage}: was done before", file=sys.stderr)
        show_results(job.files.root, as_json=as_json)


def _tell_notes(job: Job) -> None:
    for note in job.task.notes:
        print(f"note: {note}", file=sys.stderr)


@contextmanager
def _begun(recipe: str, overrides: list[str], *, force: bool) -> Iterator[Job]:
    """A recipe's job, alone in its directory."""
    from earlybird.recipes.recipe_file import read_recipe

    settings = read_recipe(recipe, overrides)
    quieten_libraries()
    from earlybird.recipes.one_at_a_time import alone_in
    from earlybird.recipes.stages.job import Job

    with alone_in(Path(settings.output)):
        yield Job.begin(settings, force=force)


@contextmanager
def _opened(root: Path) -> Iterator[Job]:
    """The job of a run that was begun, alone in its directory."""
    quieten_libraries()
    from earlybird.recipes.one_at_a_time import alone_in
    from earlybird.recipes.stages.job import Job

    job = Job.open(root)
    with alone_in(root):
        yield job


def _shares(name: str, text: str) -> list[float]:
    """Budgets as a shell gives them, separated by commas."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{name} takes a number or several, 0.5 or 0.3,0.4,0.5, got {text!r}") from error


def _draw_each(
    source: Path,
    settings: dict[str, Any],
    budgets: Mapping[Measure, list[float]],
    *,
    at: str | None,
    random: int | None,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """A ticket for every budget, into a directory."""
    from rich.console import Console

    from earlybird.cli.tables import grid_table
    from earlybird.recipes.stages.draw import draw_ticket

    if len(budgets) > 1:
        raise InputError(f"{' and '.join(budgets)} are two budgets: give one of them")
    if settings.get("detector") == "all":
        raise InputError("--detector all draws no ticket, and several budgets give one each: give one budget")
    ((name, shares),) = budgets.items()
    # All of them, before one is drawn.
    for share in shares:
        only: dict[str, Any] = {key: settings[key] for key in ("tokens", "examples") if key in settings}
        only[name] = share
        PruningConfig(**only)
    if len(set(shares)) < len(shares):
        raise InputError(f"{name}: a share is given twice; give each once")
    if output is None:
        raise InputError(f"{len(shares)} budgets give a ticket each: give --output DIRECTORY to say where they go")
    if output.is_file():
        raise InputError(f"{output} is a file; give --output a directory, new or there")
    lines: list[tuple[str, ...]] = []
    content: list[dict[str, Any]] = []
    with _opened(source) as job:
        for share in shares:
            target = output / f"{name}-{share}.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                ticket, _ = draw_ticket(
                    job, {**settings, name: share}, at=at, random_seed=random, output=target, force=force
                )
            except InputError as error:
                raise InputError(f"{name}={share}: {error}") from error
            step = ticket.provenance.get("draw_step")
            kept = [f"{sum(ticket.kept(kind)):,} of {sum(ticket.units[kind]):,}" for kind in ticket.masks]
            lines.append((str(share), "" if step is None else str(step), *kept, str(target)))
            content.append({"ticket": str(target), **ticket.provenance})
    if as_json:
        print(json.dumps(content, indent=1))
    else:
        # What goes into a file or a pipe has no width to be folded to.
        console = Console(width=None if sys.stdout.isatty() else 160)
        console.print(grid_table((name, "drawn at step", *ticket.masks, "written to"), lines))


def _compare(source: Path, settings: dict[str, Any], *, as_json: bool) -> None:
    from rich.console import Console

    from earlybird.cli.tables import verdicts_table

    quieten_libraries()
    from earlybird.recipes.compare import compare

    trajectory, verdicts = compare(source, settings)
    if as_json:
        rows = [{"detector": name, **verdict.description()} for name, verdict in verdicts.items()]
        print(json.dumps(rows, indent=1))
    else:
        # What goes into a file or a pipe has no width to be folded to.
        console = Console(width=None if sys.stdout.isatty() else 160)
        console.print(verdicts_table(verdicts, trajectory.steps, trajectory.total_steps))
