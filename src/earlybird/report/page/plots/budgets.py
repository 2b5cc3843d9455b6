"""What a ticket keeps of the evidence against what its blocks cost."""

from __future__ import annotations

from earlybird.masks.budget_curve import BudgetPoint
from earlybird.report.budgets import COLUMNS, table_rows, what_is_left
from earlybird.report.page.plots.plot import Plot, Spec, base_layout, value_axis
from earlybird.report.palette import variable
from earlybird.trajectory import Trajectory

_HEIGHT = 320


def budgets_plot(curve: tuple[BudgetPoint, ...], own: BudgetPoint | None, trajectory: Trajectory) -> Plot:
    """The best units for every budget, units in a random order, and the run's ticket."""
    cost = [100 * point.cost for point in curve]
    data: list[Spec] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": cost,
            "y": [100 * point.worth for point in curve],
            "name": "the best units",
            "line": {"color": variable("ticket"), "width": 2},
            "marker": {"size": 6},
            "hovertemplate": "%{x:.0f}% of the cost keeps %{y:.1f}%<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "x": cost,
            "y": [100 * point.chance for point in curve],
            "name": "at random",
            "line": {"color": variable("random"), "width": 1.5, "dash": "dash"},
            "hovertemplate": "at random %{y:.1f}%<extra></extra>",
        },
    ]
    if own is not None:
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [100 * own.cost],
                "y": [100 * own.worth],
                "name": "this ticket",
                "marker": {"size": 13, "symbol": "diamond", "color": variable("ink")},
                "hovertemplate": "this ticket: %{x:.1f}% of the cost keeps %{y:.1f}%<extra></extra>",
            }
        )
    layout = base_layout(30, hovermode="closest")
    layout["xaxis"] = value_axis(f"left of the {what_is_left(trajectory.shape)}") | {
        "range": [0, 100],
        "ticksuffix": "%",
    }
    layout["yaxis"] = value_axis("kept of the evidence") | {"range": [0, 103], "ticksuffix": "%"}
    layout["showlegend"] = True
    layout["legend"] = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    spec = {"data": data, "layout": layout, "choices": [], "cursor": [0]}
    return Plot("budgets", spec, _HEIGHT, COLUMNS, table_rows(curve, trajectory.shape))
