"""The HTML report of a run."""

from __future__ import annotations

from earlybird.errors import InputError
from earlybird.report.amount import percent
from earlybird.report.analysis import Analysis
from earlybird.report.page.document import document
from earlybird.report.page.frames import missing
from earlybird.report.page.markup import Markup, element
from earlybird.report.page.plots.plot import Plot
from earlybird.report.page.sections.coefficients import coefficients
from earlybird.report.page.sections.one_unit import one_unit
from earlybird.report.page.sections.origin import origin
from earlybird.report.page.sections.outcome import outcome
from earlybird.report.page.sections.settling import settling
from earlybird.report.page.sections.survivors import survivors
from earlybird.report.run import Run
from earlybird.report.verdict import verdict
from earlybird.vocabulary import KINDS

_PLOTLESS = (
    "The plots need JavaScript and a browser that can decompress (all since 2023); their numbers stand in the tables"
    " below, and figures/norm.png and figures/coefficients.png show the main ones."
)


def page(run: Run, analysis: Analysis) -> Markup:
    """The whole report of a run, finished or not."""
    plots: list[Plot] = []
    with_plots = [
        element("h2", "When the masks settled"),
        *settling(run, analysis, plots),
        element("h2", "The coefficients"),
        *coefficients(analysis, plots),
        *one_unit(run, analysis, plots),
        element("h2", "What was kept"),
        *survivors(run, analysis, plots),
    ]
    content = [
        element("h1", headline(run, analysis)),
        element("p", "Run ", element("strong", run.name), _facts(run, analysis), class_="run"),
        element("h2", "Outcome"),
        *outcome(run),
        *([missing(_PLOTLESS, "instead")] if plots else []),
        *with_plots,
        element("h2", "Settings and versions"),
        *origin(run),
    ]
    units = run.trajectory.shape.units.values() if run.trajectory is not None else ()
    return document(run.name, content, plots, layers=max((len(counts) for counts in units), default=0))


def headline(run: Run, analysis: Analysis) -> str:
    """The verdict, or how far an unfinished run has come; one sentence."""
    if run.summary is not None and run.summary.get("ticket") is not None:
        try:
            return verdict(run.summary)
        except InputError as error:
            return f"No verdict: {error}."
    step = analysis.draw_step
    if step is not None and analysis.total_steps:
        drawn = percent(analysis.percent(step) / 100)
        return f"Not finished: drawn at {drawn} of the search, but not everything is trained yet."
    if run.result is not None and run.result.get("settled") is False:
        return "Not finished: the search has ended without settling, and nothing is drawn yet."
    if analysis.recorded:
        steps = f"{analysis.recorded:,} of {analysis.total_steps:,} steps"
        return f"Not finished: the search has recorded {steps} and has not drawn yet."
    return "Not finished: no step of the search is recorded."


def _facts(run: Run, analysis: Analysis) -> str:
    parts: list[str] = []
    if analysis.recorded:
        parts.append(f"{analysis.recorded:,} of {analysis.total_steps:,} steps recorded")
    if analysis.replay is not None:
        parts.append(f"detector {analysis.replay.factory.name}")
    if run.search is not None and run.search.budget is not None:
        measure, share = run.search.budget
        if measure == "milliseconds":
            parts.append(f"{share:g} milliseconds for a forward pass")
        else:
            parts.append(f"{percent(share)} of the blocks' {'FLOPs' if measure == 'flops' else measure} to keep")
    elif run.search is not None:
        for kind in KINDS:
            ratio = getattr(run.search, kind)
            if ratio:
                per_layer = run.search.scope(kind) == "layer"
                where = "uniformly" if run.search.uniform else "per layer" if per_layer else "over all layers"
                parts.append(f"{percent(ratio)} of the {kind} to prune, {where}")
    return "".join(f" · {part}" for part in parts)
