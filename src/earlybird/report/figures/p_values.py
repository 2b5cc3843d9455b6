"""What the tests of the study say at each of their checks, and when each settles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from earlybird.detectors.criterion import Criterion
from earlybird.detectors.factory import NamedDetector
from earlybird.detectors.observer import Observer
from earlybird.detectors.offline import score_chunks
from earlybird.detectors.presets import DETECTORS
from earlybird.errors import InputError
from earlybird.report.figures.figure_with_data import FigureWithData
from earlybird.report.figures.record import Record
from earlybird.report.figures.style import plain, titled_figure
from earlybird.report.palette import LIGHT
from earlybird.vocabulary import Kind

TESTS = ("ols", "mann-kendall", "adf", "kpss")


@dataclass(frozen=True)
class Checks:
    """One test's checks over the whole record, not only up to its draw.

    Attributes:
        threshold: what a p-value is compared with.
        settled_below: whether a p-value below it speaks for settled masks.
        steps: 0-based.
        values: p-values, NaN where the window was constant or the test has no answer.
        settled: the first settled step, None if there is none.
    """

    threshold: float
    settled_below: bool
    steps: list[int]
    values: list[float]
    settled: int | None


def p_values(record: Record) -> FigureWithData | None:
    """A row of axes for each test, its threshold dashed, a line where it says settled; None in too short a run."""
    checks = {kind: checks_of(record, kind) for kind in record.kinds}
    tests = [test for test in TESTS if any(test in by_test for by_test in checks.values())]
    if not tests:
        return None
    figure = titled_figure(f"{record.name}: p-values of the masks' nuclear norm", 0.7 + 1.75 * len(tests))
    grid = figure.subplots(len(tests), len(checks), squeeze=False, sharex=True, sharey=True)
    for column, (kind, by_test) in enumerate(checks.items()):
        for row, test in enumerate(tests):
            axes = grid[row, column]
            plain(axes, steps=True)
            axes.set_ylim(-0.04, 1.04)
            if column == 0:
                axes.set_ylabel(f"p, {test}", color=LIGHT["muted"])
            if test not in by_test:
                continue
            found = by_test[test]
            axes.plot(found.steps, found.values, color=LIGHT[kind], linewidth=1, marker="o", markersize=2)
            axes.axhline(found.threshold, color=LIGHT["muted"], linewidth=1, linestyle="--")
            said = "never settled" if found.settled is None else f"settled at step {found.settled:,}"
            side = "below" if found.settled_below else "above"
            title = f"{kind}: {said} (first {side} {found.threshold:g})"
            axes.set_title(title, fontsize=9, color=LIGHT["ink"], loc="left")
            if found.settled is not None:
                axes.axvline(found.settled, color=LIGHT["ink"], linewidth=1.2)
    for axes in grid[-1]:
        axes.set_xlim(0, record.trajectory.steps - 1)
        axes.set_xlabel("step", color=LIGHT["muted"])
    gaps = any(np.isnan(found.values).any() for by_test in checks.values() for found in by_test.values())
    if gaps:
        text = "A gap: the norm was constant over the window, which counts as settled, or the test has no answer."
        figure.supxlabel(text, fontsize=9, color=LIGHT["muted"])
    rows = [
        (kind, test, step, "" if np.isnan(value) else f"{value:.6g}")
        for kind, by_test in checks.items()
        for test, found in by_test.items()
        for step, value in zip(found.steps, found.values, strict=True)
    ]
    return FigureWithData(figure, ("kind", "test", "step", "p"), rows)


def checks_of(record: Record, kind: Kind) -> Mapping[str, Checks]:
    """Every test with its default settings, over all recorded steps of a kind; those the run is too short for are
    left out."""
    trajectory, rule = record.trajectory, record.rules[kind]
    detectors = {}
    for test in TESTS:
        factory = NamedDetector(test, DETECTORS[test])
        try:
            built = factory.build(kind, rule, record.score, trajectory.total_steps, trajectory.shape.steps_per_epoch)
        except InputError:
            continue
        assert factory.threshold is not None  # a test's p-value is compared with something
        detectors[test] = (built, Checks(factory.threshold, factory.settled_below, [], [], None))
    criteria: set[Criterion] = {criterion for built, _ in detectors.values() for criterion in built.criteria}
    observer = Observer(kind, rule, criteria)
    first: dict[str, int] = {}
    for scores in score_chunks(trajectory, (kind,), record.score):
        for observation in observer.observations(scores[kind]):
            for test, (built, found) in detectors.items():
                built.update(observation)
                if not built.checked:
                    continue
                found.steps.append(observation.step)
                found.values.append(np.nan if built.statistic is None else built.statistic)
                if built.settled:
                    first.setdefault(test, observation.step)
    return {
        test: Checks(found.threshold, found.settled_below, found.steps, found.values, first.get(test))
        for test, (_, found) in detectors.items()
        if found.steps
    }
