"""The section on single units: their regressions, and the two states of one."""

from __future__ import annotations

from earlybird.config import SearchConfig
from earlybird.detectors.defaults import scored_by
from earlybird.errors import InputError
from earlybird.report.analysis import Analysis
from earlybird.report.one_unit import OneUnit, restless_units
from earlybird.report.page.frames import framed, missing
from earlybird.report.page.markup import Markup, element
from earlybird.report.page.plots.plot import Plot
from earlybird.report.page.plots.unit_regressions import unit_regressions_plot
from earlybird.report.page.plots.unit_states import unit_states_plot
from earlybird.report.run import Run
from earlybird.report.sliding_regressions import THRESHOLD
from earlybird.report.unit_regressions import UnitRegressions, unit_regressions
from earlybird.report.unit_states import unit_states
from earlybird.trajectory import Trajectory

# To choose among; the page shall stay small.
_MOST_UNITS = 12


def one_unit(run: Run, analysis: Analysis, plots: list[Plot]) -> list[Markup]:
    """The section's parts, [] where no masks are known; the plots in them are added to `plots`."""
    kind = next(iter(analysis.masks), None)
    if kind is None or run.trajectory is None or run.search is None:
        return []
    units = restless_units(kind, analysis.masks[kind], _MOST_UNITS)
    if not units:
        return []
    try:
        shown = _shown(run.trajectory, run.search, analysis, units, plots)
    except InputError as error:
        shown = [missing(str(error))]
    command = (
        "earlybird figures RUN --figure unit-regressions --figure unit-states --unit"
        f" {kind}.{units[0].layer}.{units[0].position}"
    )
    intro = f"Of the {kind}, those that enter or leave the mask most often. Any other one is shown by: "
    return [element("h2", "One unit by itself"), element("p", intro, element("code", command)), *shown]


def _shown(
    trajectory: Trajectory, config: SearchConfig, analysis: Analysis, units: list[OneUnit], plots: list[Plot]
) -> list[Markup]:
    parts: list[Markup] = []
    score = scored_by(config, trajectory.shape.channels)
    regressions = unit_regressions(trajectory, config, units)
    if (plot := unit_regressions_plot(analysis, regressions, score)) is not None:
        plots.append(plot)
        parts.append(framed(plot, "Sliding regressions", _regressions(regressions[0])))
    else:
        parts.append(missing("Fewer steps are recorded than a window of a test has: there are no regressions."))
    found = unit_states(trajectory, score, units[0])
    if found is None:
        parts.append(missing(f"Two states cannot be told apart in the scores of {units[0]}."))
    else:
        plot = unit_states_plot(analysis, found, score)
        plots.append(plot)
        parts.append(framed(plot, f"Two states of {found.unit}", f"{_STATES} {found.in_words}"))
    return parts


def _regressions(one: UnitRegressions) -> str:
    windows = one.found.windows
    return (
        f"Above, the scores of one unit with the least-squares line of every window of {windows.length:,} steps that"
        f" does not overlap the next; below, every {windows.every:,} steps, the p-value of the slope in the window that"
        f" ends there, deviations taken as independent. Dashed: {THRESHOLD:g}, above which no trend can be shown."
    )


_STATES = (
    "A hidden Markov model of the scores' increments (Hamilton 1989): two states, each with a mean and a variance."
    " Strong: where the quieter state is the more probable one. Below, its probability, which knows the whole series."
)
