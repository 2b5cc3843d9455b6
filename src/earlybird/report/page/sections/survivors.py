"""The section on which units the ticket keeps."""

from __future__ import annotations

from earlybird.report.amount import percent
from earlybird.report.analysis import Analysis
from earlybird.report.budgets import example_options
from earlybird.report.one_by_one import one_of
from earlybird.report.page.frames import framed, missing
from earlybird.report.page.markup import Markup, element
from earlybird.report.page.plots.budgets import budgets_plot
from earlybird.report.page.plots.plot import Plot
from earlybird.report.page.plots.survivors import survivors_plot
from earlybird.report.run import Run
from earlybird.vocabulary import KINDS, WEIGHED_KINDS, Kind


def survivors(run: Run, analysis: Analysis, plots: list[Plot]) -> list[Markup]:
    """The section's parts; the plots in them are added to `plots`."""
    if run.ticket is None:
        return [missing(run.missing["ticket"])]
    parts: list[Markup] = []
    for kind in KINDS:
        if kind not in (*WEIGHED_KINDS, *run.ticket.masks):
            continue
        plot = survivors_plot(run.ticket, kind)
        if plot is None:
            if kind != "neurons" or "experts" not in run.ticket.masks:
                parts.append(element("p", f"All {kind} are kept."))
            continue
        plots.append(plot)
        kept, units = sum(run.ticket.kept(kind)), sum(run.ticket.units[kind])
        sentences = [f"{kept:,} of {units:,} {kind} are kept."]
        if plot.spec["data"][0]["type"] == "heatmap":
            sentences.append(f"A coloured cell is a kept {one_of(kind)}, a pale one is pruned.")
        sentences += [*_kept_by_minimum(run, kind), *_shared(run, kind)]
        parts.append(framed(plot, f"{kind.capitalize()} kept per layer", " ".join(sentences)))
    return [*parts, *_budgets(run, analysis, plots)]


def _budgets(run: Run, analysis: Analysis, plots: list[Plot]) -> list[Markup]:
    """What other budgets would keep."""
    if not analysis.curve or run.trajectory is None:
        return []
    plot = budgets_plot(analysis.curve, analysis.own_point, run.trajectory)
    plots.append(plot)
    text = (
        "The evidence is the squared gradients of the recent half of the steps up to the draw. Every point is a ticket"
        " that can be drawn from this record, for instance by: earlybird draw RUN"
        f" {example_options(run.trajectory.shape)} --output TICKET."
        " Where the curve bends down, a smaller budget begins to cost what the network uses."
    )
    return [framed(plot, "What is kept against what it costs", text)]


def _kept_by_minimum(run: Run, kind: Kind) -> list[str]:
    """Which layers keep a unit only because none may lose its last one."""
    kept_by_minimum = run.draw.get("kept_by_minimum") if run.draw is not None else None
    layers = kept_by_minimum.get(kind) if isinstance(kept_by_minimum, dict) else None
    if not isinstance(layers, list) or not layers:
        return []
    named = ", ".join(str(layer) for layer in layers)
    return [f"Layer {named} keeps one only because no layer may lose its last."]


def _shared(run: Run, kind: Kind) -> list[str]:
    """How many of the kept units the random ticket happens to keep too."""
    if run.ticket is None or run.random is None or kind not in run.random.masks:
        return []
    mine, other = run.ticket.masks[kind], run.random.masks[kind]
    if mine.shape != other.shape or not mine.any():
        return []
    return [f"The random ticket keeps {percent(float((mine & other).sum() / mine.sum()))} of the same ones."]
