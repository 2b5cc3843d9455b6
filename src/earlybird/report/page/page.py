"""The HTML report: one file that loads nothing from anywhere."""

from __future__ import annotations

import json
from importlib.metadata import version

from plotly.offline import get_plotlyjs

from earlybird.errors import InputError
from earlybird.report.amount import percent
from earlybird.report.analysis import Analysis
from earlybird.report.page.markup import Markup, element, joined
from earlybird.report.page.plots.plot import Plot
from earlybird.report.page.script import SCRIPT
from earlybird.report.page.sections.coefficients import coefficients
from earlybird.report.page.sections.origin import origin
from earlybird.report.page.sections.outcome import outcome
from earlybird.report.page.sections.settling import settling
from earlybird.report.page.sections.survivors import survivors
from earlybird.report.page.style import STYLE
from earlybird.report.palette import style_variables
from earlybird.report.run import Run
from earlybird.report.verdict import verdict
from earlybird.vocabulary import KINDS

# Even a plot that went wrong could fetch nothing.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def page(run: Run, analysis: Analysis) -> Markup:
    """The whole report of a run, finished or not."""
    plots: list[Plot] = []
    body = element(
        "main",
        element("h1", headline(run, analysis)),
        element("p", "Run ", element("strong", run.name), _facts(run, analysis), class_="run"),
        element("h2", "Outcome"),
        *outcome(run),
        element("h2", "When the masks settled"),
        *settling(run, analysis, plots),
        element("h2", "The coefficients"),
        *coefficients(analysis, plots),
        element("h2", "What was kept"),
        *survivors(run, analysis, plots),
        element("h2", "Settings and versions"),
        *origin(run),
    )
    footer = element(
        "footer", f"Written by earlybird {version('earlybird')}. This page loads nothing from the network."
    )
    lines = [Markup("<!DOCTYPE html>"), Markup('<html lang="en">'), _head(run), Markup("<body>"), body, footer]
    return joined([*lines, _scripts(plots), Markup("</body>"), Markup("</html>"), ""])


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


def _head(run: Run) -> Markup:
    units = run.trajectory.shape.units.values() if run.trajectory is not None else ()
    layers = max((len(counts) for counts in units), default=0)
    return element(
        "head",
        Markup('<meta charset="utf-8">\n'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">\n'),
        Markup('<meta name="color-scheme" content="light dark">\n'),
        element("title", f"{run.name} - earlybird"),
        Markup(f"\n<style>\n{style_variables(layers)}{STYLE}</style>\n"),
    )


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


def _scripts(plots: list[Plot]) -> Markup:
    """plotly.js, the plots' data and the page's script; nothing where there is nothing to draw."""
    if not plots:
        return Markup("")
    specs = {plot.name: plot.spec for plot in plots}
    # No "<" in the data: it could not end the script even if text from a file came into it.
    data = json.dumps(specs, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    without = "The plots need JavaScript; figures/norm.png and figures/coefficients.png show the main ones without it."
    return joined(
        [
            element("noscript", element("p", without)),
            Markup(f"<script>{get_plotlyjs()}</script>"),
            Markup(f'<script id="plots" type="application/json">{data}</script>'),
            Markup(f"<script>{SCRIPT}</script>"),
        ]
    )
