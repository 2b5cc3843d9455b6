"""The sections on the units: their coefficients over the steps, and which of them the ticket keeps."""

from __future__ import annotations

from earlybird.report.analysis import Analysis
from earlybird.report.coefficients import CoefficientLines
from earlybird.report.coefficients_plot import coefficients_plot
from earlybird.report.frames import framed, missing
from earlybird.report.markup import Markup, element
from earlybird.report.palette import variable
from earlybird.report.plot import Plot
from earlybird.report.run import Run
from earlybird.report.survivors_plot import survivors_plot
from earlybird.report.verdict import percent
from earlybird.trajectory import KINDS, Kind


def coefficient_section(analysis: Analysis, plots: list[Plot]) -> list[Markup]:
    """The section's parts; the plots in them are added to `plots`."""
    if "coefficients" in analysis.problems:
        return [missing(analysis.problems["coefficients"])]
    parts = []
    for kind in KINDS:
        plot = coefficients_plot(analysis, kind)
        if plot is None:
            continue
        plots.append(plot)
        values = analysis.coefficients[kind]
        if isinstance(values, CoefficientLines):
            caption, legend = f"One line for each of the {kind}, coloured by layer.", _layers(len(values.units))
        else:
            caption, legend = f"The median, and bands that hold half, 90% and all of the {kind}.", None
        parts.append(framed(plot, f"Coefficients of the {kind}", caption, legend))
    return parts


def survivor_section(run: Run, plots: list[Plot]) -> list[Markup]:
    """The section's parts; the plots in them are added to `plots`."""
    if run.ticket is None:
        return [missing(run.missing["ticket"])]
    parts: list[Markup] = []
    for kind in KINDS:
        plot = survivors_plot(run.ticket, kind)
        if plot is None:
            parts.append(element("p", f"All {kind} are kept."))
            continue
        plots.append(plot)
        kept, units = sum(run.ticket.kept(kind)), sum(run.ticket.units[kind])
        sentences = [f"{kept:,} of {units:,} {kind} are kept."]
        if plot.spec["data"][0]["type"] == "heatmap":
            sentences.append("A coloured cell is a kept head, a pale one is pruned.")
        sentences += [*_rescued(run, kind), *_shared(run, kind)]
        parts.append(framed(plot, f"{kind.capitalize()} kept per layer", " ".join(sentences)))
    return parts


def _layers(count: int) -> Markup:
    """Which colour is which layer."""
    chips = []
    for layer in range(count):
        chip = element("span", class_="chip", style=f"background:{variable(f'layer-{layer}')}", aria_hidden="true")
        chips.append(element("span", chip, f" {layer}"))
    return element("p", "Layer", *chips, class_="layers")


def _rescued(run: Run, kind: Kind) -> list[str]:
    """Which layers keep a unit only because none may lose its last one."""
    rescued = run.draw.get("rescued") if run.draw is not None else None
    layers = rescued.get(kind) if isinstance(rescued, dict) else None
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
