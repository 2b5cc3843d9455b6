"""The masks' nuclear norm with its moving average and the draws."""

from __future__ import annotations

from earlybird.report.artefacts.artefact import Artefact
from earlybird.report.artefacts.record import Record
from earlybird.report.artefacts.slopes import norms
from earlybird.report.figures.norm import norm_figure


def norm(record: Record) -> Artefact | None:
    """As in the report; the data at every step."""
    figure = norm_figure(record.name, record.analysis)
    if figure is None:
        return None
    values = {kind: norms(record, kind) for kind in record.kinds}
    rows = ((step, *(f"{series[step]:.6f}" for series in values.values())) for step in range(record.trajectory.steps))
    return Artefact(figure, ("step", *values), rows)
