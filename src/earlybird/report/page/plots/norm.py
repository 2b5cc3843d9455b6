"""The nuclear norm of the masks over the steps."""

from __future__ import annotations

from earlybird.report.analysis import Analysis
from earlybird.report.marks import marks_of
from earlybird.report.page.plots.plot import Plot, Spec, line_trace
from earlybird.report.page.plots.stacked import stacked
from earlybird.report.series import moving_average
from earlybird.vocabulary import KINDS, Kind


def norm_plot(analysis: Analysis) -> Plot | None:
    """The nuclear norm of each kind's masks."""
    kinds = [kind for kind in KINDS if kind in analysis.masks]

    def traces(kind: Kind) -> list[Spec]:
        series = analysis.masks[kind]
        smooth = moving_average(series.norm, max(3, len(series.steps) // 50))
        return [
            line_trace(series.steps, series.norm, f"{kind}, each step", f"{kind}-faint", width=1, hover=".3f"),
            line_trace(series.steps, smooth, f"{kind}, averaged", kind, width=2, hover=".3f"),
        ]

    marks = {kind: marks_of(analysis, kind, hamming=True) for kind in kinds}
    titles = {kind: f"norm, {kind}" for kind in kinds}
    return stacked(
        "norm",
        kinds,
        traces,
        marks,
        titles,
        analysis,
        rows={kind: (analysis.masks[kind].steps, analysis.masks[kind].norm) for kind in kinds},
        cursor=(0, 2),
    )
