"""The section on the coefficients over the steps."""

from __future__ import annotations

from earlybird.report.analysis import Analysis
from earlybird.report.coefficients import CoefficientLines
from earlybird.report.page.frames import framed, missing
from earlybird.report.page.markup import Markup, element
from earlybird.report.page.plots.coefficients import coefficients_plot
from earlybird.report.page.plots.plot import Plot
from earlybird.report.palette import variable
from earlybird.vocabulary import KINDS


def coefficients(analysis: Analysis, plots: list[Plot]) -> list[Markup]:
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


def _layers(count: int) -> Markup:
    """Which colour is which layer."""
    chips = []
    for layer in range(count):
        chip = element("span", class_="chip", style=f"background:{variable(f'layer-{layer}')}", aria_hidden="true")
        chips.append(element("span", chip, f" {layer}"))
    return element("p", "Layer", *chips, class_="layers")
