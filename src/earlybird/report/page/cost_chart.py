"""What networks reach against what their training cost: a few points, drawn without any script."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from earlybird.recipes.metric_names import deciding_metric
from earlybird.report.finite import finite
from earlybird.report.networks import network_name, standard_error, trained_networks
from earlybird.report.page.markup import Markup, element, joined
from earlybird.report.verdict import evaluation_examples

# Pixels downwards; across, all is in percent of the width, so that words stay readable on a phone.
_TOP, _BOTTOM, _HEIGHT = 18, 214, 262
_LINE = 17
_NAME = 28.0  # percent of the width that a name may take
_LEFT, _RIGHT = 1.0, 65.0  # where cost 0 and the highest stand; names go to the right of their points


@dataclass(frozen=True)
class Point:
    """A trained network.

    Attributes:
        name: what stands beside it.
        colour: its name in the palette.
        cost: of its training, at least 0, in the unit of the axis.
        value: of the deciding metric, in percent.
        error: one standard error of it in points, 0 where that is not known.
        hollow: drawn as a ring.
    """

    name: str
    colour: str
    cost: float
    value: float
    error: float
    hollow: bool = False


def points_of(
    summary: Mapping[str, Any], costs: Mapping[str, float | None], run: str = "", *, hollow: bool = False
) -> list[Point]:
    """The trained networks of a run's summary; those without a number are left out.

    Args:
        summary: the content of summary.json.
        costs: of each network, by its key there.
        run: what to call the run, where there are several.
        hollow: draw all of them as rings; otherwise only those of a kind that has a disc already are.
    """
    metric, examples = deciding_metric(summary), evaluation_examples(summary)
    points: list[Point] = []
    for key, entry in trained_networks(summary).items():
        cost, value = costs.get(key), finite(entry.get(metric))
        if cost is None or not 0 <= cost < math.inf or value is None or abs(value) > 100:
            continue  # of a damaged summary
        name = f"{run} {network_name(key, entry)}".strip()
        error = standard_error(entry, metric, examples)
        ring = hollow or key == "dense_matched" or (not run and key.endswith("_continued"))
        points.append(Point(name, key.split("_")[0], cost, value, error, ring))
    return points


def cost_chart(points: Sequence[Point], metric: str, cost: str, write_cost: Callable[[float], str]) -> Markup:
    """The chart, costs from 0 on to the right and the metric upwards.

    Args:
        points: at least one.
        metric: the metric's name for people.
        cost: what the horizontal axis says.
        write_cost: a cost as text.
    """
    most = max(point.cost for point in points) or 1.0
    low, high = min(point.value - point.error for point in points), max(point.value + point.error for point in points)
    margin = max(0.5, 0.12 * (high - low))
    low, high = low - margin, high + margin

    def across(value: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * value / most

    def down(value: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * (value - low) / (high - low)

    parts: list[Markup] = []
    for tick in _ticks(low, high):
        y = f"{down(tick):.1f}"
        parts.append(element("line", x1="0", x2="100%", y1=y, y2=y, class_="grid"))
        parts.append(element("text", f"{tick:g}%", x="0", y=y, dy="-4", class_="tick"))
    parts.append(element("line", x1="0", x2="100%", y1=_BOTTOM, y2=_BOTTOM, class_="axis"))
    for tick in _ticks(0.0, 1.1 * most):
        anchor = "start" if tick == 0 else "middle"
        parts.append(
            element(
                "text", write_cost(tick), x=_percent(across(tick)), y=_BOTTOM + 18, text_anchor=anchor, class_="tick"
            )
        )
    parts.append(element("text", cost, x="100%", y=_BOTTOM + 40, text_anchor="end", class_="tick"))
    heights = _apart([(across(point.cost), down(point.value)) for point in points])
    # Names first: their ground would cover the points.
    for point, height in zip(points, heights, strict=True):
        x, colour = across(point.cost), f"color:var(--{point.colour})"
        number = element("tspan", f" {point.value:.1f}%")
        parts.append(
            element(
                "text", point.name, number, x=_percent(x), y=f"{height + 4:.1f}", dx=12, class_="name", style=colour
            )
        )
    for point in points:
        x, colour = across(point.cost), f"color:var(--{point.colour})"
        bar = (down(point.value - point.error), down(point.value + point.error))
        parts.append(
            element(
                "line",
                x1=_percent(x),
                x2=_percent(x),
                y1=f"{bar[0]:.1f}",
                y2=f"{bar[1]:.1f}",
                class_="error",
                style=colour,
            )
        )
        parts.append(
            element(
                "circle",
                cx=_percent(x),
                cy=f"{down(point.value):.1f}",
                r=6,
                class_="ring" if point.hollow else "disc",
                style=colour,
            )
        )
    told = "; ".join(f"{point.name}: {point.value:.1f}% for {write_cost(point.cost)}" for point in points)
    chart = element(
        "svg", joined(parts), width="100%", height=_HEIGHT, role="img", aria_label=f"{metric} against {cost}. {told}"
    )
    return element("figure", chart, class_="cost")


def _percent(value: float) -> str:
    return f"{value:.2f}%"


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers between two."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * part for part in (1, 2, 2.5, 5, 10) if power * part >= rough)
    return [round(index * step, 10) for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _apart(places: Sequence[tuple[float, float]]) -> list[float]:
    """Heights for labels at (percent across, pixels down) so that none covers another, below the points if need be."""
    order = sorted(range(len(places)), key=lambda index: places[index][1])
    placed: dict[int, float] = {}
    for index in order:
        x, height = places[index]
        near = sorted(there for other, there in placed.items() if abs(places[other][0] - x) < _NAME)
        for there in near:
            if abs(there - height) < _LINE:
                height = there + _LINE
        placed[index] = height
    return [placed[index] for index in range(len(places))]
