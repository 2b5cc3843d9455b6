"""The section on when the masks settled: norm, statistic, agreement with the last mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from earlybird.report.analysis import Analysis
from earlybird.report.finite import finite
from earlybird.report.page.frames import framed, missing
from earlybird.report.page.markup import Markup, element
from earlybird.report.page.plots.agreement import agreement_plot
from earlybird.report.page.plots.masks import masks_plot
from earlybird.report.page.plots.norm import norm_plot
from earlybird.report.page.plots.plot import Plot
from earlybird.report.page.plots.statistic import statistic_plot
from earlybird.report.page.sections.norm_windows import norm_windows
from earlybird.report.run import Run
from earlybird.vocabulary import KINDS


def settling(run: Run, analysis: Analysis, plots: list[Plot]) -> list[Markup]:
    """The section's parts; the plots in them are added to `plots`."""
    parts: list[Markup] = []
    if "draw" in run.missing:
        replayed = ". The lines mark the draw that the detector gives on this record." if analysis.draws else "."
        parts.append(missing(run.missing["draw"].removesuffix(".") + replayed))
    if run.draw is not None:
        parts.append(element("p", _drawn(run.draw)))
    if "masks" in analysis.problems:
        parts.append(missing(analysis.problems["masks"]))
    if (plot := norm_plot(analysis)) is not None:
        plots.append(plot)
        parts.append(element("p", "Drag across a plot to zoom in, double-click to zoom out.", class_="caption hint"))
        parts.append(framed(plot, "Nuclear norm of the masks", _NORM))
    if "replay" in analysis.problems and analysis.problems["replay"] != analysis.problems.get("masks"):
        parts.append(missing(analysis.problems["replay"]))
    if (plot := statistic_plot(analysis)) is not None:
        plots.append(plot)
        parts.append(framed(plot, "The detector's statistic", _checks(analysis)))
    elif analysis.replay is not None:
        parts.append(missing("The detector has made no check with a statistic within the recorded steps."))
    if (plot := agreement_plot(analysis)) is not None:
        plots.append(plot)
        parts.append(framed(plot, "Agreement with the last recorded mask", f"{_AGREEMENT} {_reference(analysis)}"))
    for kind in KINDS:
        if (plot := masks_plot(analysis, kind)) is not None:
            plots.append(plot)
            heads = plot.spec["data"][0]["type"] == "heatmap"
            parts.append(framed(plot, f"The mask of the {kind}, step by step", _CELLS if heads else _BARS))
    return [*parts, *norm_windows(run, analysis, plots)]


def _drawn(draw: Mapping[str, Any]) -> str:
    """How the draw came about, as draw.json tells it."""
    step, detector = draw["step"], draw.get("detector") or "the detector"
    if draw["how"] == "step":
        return f"Drawn at step {step:,} because that was asked for, by no detector."
    if draw["how"] == "end":
        return f"Drawn at the last step, {step:,}, because {detector} had not found all masks settled."
    found: list[str] = []
    for kind, one in sorted(draw["kinds"].items(), key=lambda item: item[1]["step"]):
        numbers = [(name, finite(one.get(name))) for name in ("statistic", "threshold")]
        known = ", ".join(f"{name} {value:.3g}" for name, value in numbers if value is not None)
        verb = "" if found else "settled "
        found.append(f"the {kind} {verb}at step {one['step']:,}" + (f" ({known})" if known else ""))
    config = draw.get("config")
    latched = not isinstance(config, Mapping) or config.get("joint", "latched") == "latched"
    rule = (
        " A kind that has settled counts as settled from there on; all masks are those of the draw." if latched else ""
    )
    return f"Drawn at step {step:,} by {detector}: {', '.join(found)}.{rule}"


_NORM = (
    "Sum of the singular values of the layers x units mask that the coefficients imply at each step: faint at every"
    " step, strong as a moving average. It stands still once units stop changing places between layers. Hamming's"
    " rule, which only compares successive masks, is marked for comparison."
)
_AGREEMENT = (
    "Solid: captured, how much of the last mask's gain over chance each step's mask already has, judged by the last"
    " coefficients (1: as good a choice; 0: no better than chance). Dotted: overlap, the share of kept units in common."
)
_CELLS = (
    "A coloured cell is a kept unit, a grey one is pruned; a paler one with a minus sign is kept at this step and"
    " pruned by the last recorded mask, a plus sign marks a pruned one that the last mask keeps."
)
_BARS = (
    "How much of each layer the mask keeps; the paler part is kept at this step and pruned by the last recorded mask."
)


def _reference(analysis: Analysis) -> str:
    """Which mask the agreement is with: the end of the search, or what there is instead."""
    step, last = analysis.draw_step, analysis.recorded - 1
    if last + 1 >= analysis.total_steps:
        return f"The last recorded mask is that of the search's last step, {last:,}."
    if step is not None and last <= step:
        return (
            f"The record stops at the draw, so this is the agreement with the mask at the draw (step {last:,}): it"
            " reaches 1 there whatever the masks would have done later."
        )
    return (
        f"The record stops at step {last:,}, with {analysis.total_steps:,} steps planned, so this is not the agreement"
        " with the mask at the end of the search."
    )


def _checks(analysis: Analysis) -> str:
    replay = analysis.replay
    if replay is None:
        return ""
    side = "below" if replay.settled_below else "above"
    text = f"Each point is a check of the detector {replay.factory.name}"
    if replay.threshold is not None:
        text += (
            f", the dashed line its threshold of {replay.threshold:g}: a kind has settled once its statistic is {side}"
            " it"
        )
    text += f". {replay.factory.summary}"
    constant = sum(int(np.isnan(trace.values).sum()) for trace in replay.traces.values())
    if constant:
        text += (
            f" {constant:,} {'check has' if constant == 1 else 'checks have'} no statistic: the window was exactly"
            " constant, which counts as settled, or the test has no answer for it, which does not."
        )
    return text + (" It checks no further than the draw." if replay.draw is not None else "")
