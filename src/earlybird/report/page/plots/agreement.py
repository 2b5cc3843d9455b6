"""How near each step's mask is to the last recorded one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from earlybird.report.analysis import Analysis
from earlybird.report.marks import marks_of
from earlybird.report.page.plots.plot import Plot, Spec, line_trace
from earlybird.report.page.plots.stacked import stacked
from earlybird.vocabulary import KINDS, Kind


def agreement_plot(analysis: Analysis) -> Plot | None:
    """Overlap with the last recorded mask, and captured."""
    kinds = [kind for kind in KINDS if kind in analysis.masks]

    def traces(kind: Kind) -> list[Spec]:
        series = analysis.masks[kind]
        return [
            line_trace(series.steps, series.captured, f"{kind}, captured", kind, width=2, hover=".3f"),
            line_trace(series.steps, series.overlap, f"{kind}, overlap", kind, width=1.5, dash="dot", hover=".3f"),
        ]

    columns: dict[str, tuple[NDArray[Any], NDArray[np.float64]]] = {}
    for kind in kinds:
        series = analysis.masks[kind]
        columns[f"{kind}, captured"] = (series.steps, series.captured)
        columns[f"{kind}, overlap"] = (series.steps, series.overlap)
    return stacked(
        "agreement",
        kinds,
        traces,
        {kind: marks_of(analysis, kind) for kind in kinds},
        {kind: f"share, {kind}" for kind in kinds},
        analysis,
        rows=columns,
        cursor=(0, 1, 2, 3),
    )
