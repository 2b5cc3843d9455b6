"""What stands around a plot, and what stands in its place where there is none."""

from __future__ import annotations

from earlybird.report.page.markup import Markup, details, element, joined, scrollable, table
from earlybird.report.page.plots.plot import Plot


def framed(plot: Plot, title: str, caption: str, legend: Markup | None = None) -> Markup:
    """A plot with its heading, what it means, a choice of layers, and its numbers for those who cannot see it."""
    reads = bool(plot.spec["cursor"])
    label = f"{title}. {caption}" + (" Arrow keys read the values, step by step." if reads else "")
    parts: list[object] = [element("h3", title), element("p", caption, class_="caption")]
    if legend is not None:
        parts.append(legend)
    if plot.spec["choices"]:
        options = joined((element("option", choice["label"]) for choice in plot.spec["choices"]), "")
        choice = element("select", options, id=f"{plot.name}-pick", autocomplete="off")
        parts.append(element("label", "Show ", choice, class_="pick"))
    if steps := plot.spec.get("steps"):
        slider = element(
            "input",
            id=f"{plot.name}-step",
            type="range",
            min=0,
            max=len(steps) - 1,
            value=plot.spec["start"],
            autocomplete="off",
        )
        shown = element("output", steps[plot.spec["start"]]["label"], id=f"{plot.name}-label")
        parts.append(element("label", "Step ", slider, shown, class_="pick slide"))
    parts.append(
        element(
            "div",
            id=plot.name,
            class_="plot",
            style=f"height:{plot.height}px",
            # Only what takes keys is reached by them; screen readers then pass the arrow keys on.
            role="application" if reads else "img",
            tabindex=0 if reads else None,
            aria_label=label,
        )
    )
    if reads:
        parts.append(element("p", id=f"{plot.name}-readout", class_="readout", aria_live="polite"))
    numbers = table(f"{title}, in numbers", plot.columns, plot.rows)
    parts.append(details("The same in numbers", scrollable(numbers, f"{title}, in numbers")))
    return element("figure", *parts)


def missing(sentence: str, also: str = "") -> Markup:
    """One line on what is not there; `also` names a further class."""
    return element("p", sentence, class_=f"missing {also}".rstrip())
