"""Which units of each layer a ticket keeps."""

from __future__ import annotations

import numpy as np

from earlybird.report.one_by_one import one_by_one, one_of
from earlybird.report.page.plots.plot import Plot, Spec, base_layout, layer_axis, layers_height, value_axis
from earlybird.report.palette import variable
from earlybird.ticket import Ticket
from earlybird.vocabulary import Kind


def survivors_plot(ticket: Ticket, kind: Kind) -> Plot | None:
    """Which units of each layer are kept: each head or expert, or the share of the neurons."""
    if kind not in ticket.masks:
        return None
    units, kept = ticket.units[kind], ticket.kept(kind)
    layers = len(units)
    names = [f"layer {layer}" for layer in range(layers)]
    layout = base_layout(8, hovermode="closest")
    layout["yaxis"] = layer_axis(layers)
    if one_by_one(kind, units):
        mask = np.where(
            np.arange(max(units)) < np.asarray(units)[:, None], ticket.masks[kind].astype(np.float64), np.nan
        )
        words = [["kept" if value else "pruned" for value in row] for row in ticket.masks[kind]]
        data: list[Spec] = [
            {
                "type": "heatmap",
                "z": [[None if np.isnan(value) else int(value) for value in row] for row in mask],
                "text": words,
                "colorscale": [[0, variable("pruned")], [1, variable(kind)]],
                "zmin": 0,
                "zmax": 1,
                "showscale": False,
                "xgap": 3,
                "ygap": 3,
                "hoverongaps": False,
                "hovertemplate": f"layer %{{y}}, {one_of(kind)} %{{x}}: %{{text}}<extra></extra>",
            }
        ]
        layout["xaxis"] = value_axis(one_of(kind)) | {
            "showgrid": False,
            "dtick": max(1, -(-max(units) // 16)),
            "tick0": 0,
        }
    else:
        share = [100 * count / total for count, total in zip(kept, units, strict=True)]
        data = [
            {
                "type": "bar",
                "orientation": "h",
                "x": share,
                "y": list(range(layers)),
                "marker": {"color": variable(kind)},
                "text": [f"{value:.0f}%" for value in share],
                "textposition": "auto",
                "customdata": [[count, total] for count, total in zip(kept, units, strict=True)],
                "hovertemplate": "layer %{y}: %{customdata[0]} of %{customdata[1]} kept<extra></extra>",
            }
        ]
        layout["xaxis"] = value_axis(f"kept share of the {kind}") | {"range": [0, 100], "ticksuffix": "%"}
        layout["bargap"] = 0.25
    rows = tuple((name, f"{count:,}", f"{total:,}") for name, count, total in zip(names, kept, units, strict=True))
    spec = {"data": data, "layout": layout, "choices": [], "cursor": []}
    return Plot(f"survivors-{kind}", spec, layers_height(layers), ("layer", f"{kind} kept", "of"), rows)
