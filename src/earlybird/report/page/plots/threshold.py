"""The dashed line at what a statistic is compared with."""

from __future__ import annotations

import numpy as np

from earlybird.report.analysis import Analysis
from earlybird.report.page.plots.plot import Spec, line_trace


def threshold_trace(threshold: float, analysis: Analysis) -> Spec:
    """A level over all recorded steps, of which the pointer says nothing."""
    ends, level = np.array([0, analysis.recorded - 1]), np.full(2, threshold)
    trace = line_trace(ends, level, "threshold", "muted", width=1.5, dash="dash")
    return trace | {"hoverinfo": "skip", "hovertemplate": None}
