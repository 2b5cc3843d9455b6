"""The detectors that a user picks by name: our defaults, and the published ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from types import MappingProxyType

from earlybird.detectors.base import Detector
from earlybird.detectors.half_time_capture import HalfTimeCapture
from earlybird.detectors.hamming import HammingDistance
from earlybird.detectors.settings import DetectorSpecification, ResolvedSettings
from earlybird.detectors.spans import Span
from earlybird.detectors.split_half_capture import SplitHalfCapture
from earlybird.detectors.window import WindowedTest
from earlybird.errors import InputError
from earlybird.stationarity.adf import AugmentedDickeyFuller
from earlybird.stationarity.base import StationarityTest
from earlybird.stationarity.equivalence import Equivalence
from earlybird.stationarity.mann_kendall import MannKendall
from earlybird.stationarity.ols import OrdinaryLeastSquares, RobustLeastSquares

DEFAULT_DETECTOR = "equivalence"
_NO_TEST = "none: a rule, not a test"
# Fewer steps than this in a half say little about anything.
_LEAST_START = 20


def _fraction(amount: float) -> Span:
    return Span(amount, "fraction")


def _steps(amount: int) -> Span:
    return Span(amount, "steps")


def _windowed(
    test: Callable[[float], StationarityTest], later_window: int | None = None
) -> Callable[[ResolvedSettings], Detector]:
    def build(settings: ResolvedSettings) -> Detector:
        return WindowedTest(
            test(settings.threshold),
            smoothing=settings.smoothing,
            window=settings.window,
            every=settings.every,
            start=settings.start,
            later_window=later_window,
        )

    return build


def _hamming(settings: ResolvedSettings) -> Detector:
    return HammingDistance(threshold=settings.threshold, every=settings.every, units=settings.pruning.units)


def _half_time_capture(settings: ResolvedSettings) -> Detector:
    start = max(settings.start, _LEAST_START)
    return HalfTimeCapture(
        settings.pruning, threshold=settings.threshold, start=start, total_steps=settings.total_steps
    )


def _split_half_capture(settings: ResolvedSettings) -> Detector:
    start = max(settings.start, _LEAST_START)
    return SplitHalfCapture(
        settings.pruning, settings.score, threshold=settings.threshold, start=start, total_steps=settings.total_steps
    )


def _scaled(test: type[StationarityTest], threshold: float, summary: str) -> DetectorSpecification:
    """The published proportions, 200 : 300 : 100 steps, scaled to the run: a first check at 10% of it."""
    judge = test(threshold)
    return DetectorSpecification(
        summary=summary,
        build=_windowed(test),
        threshold=threshold,
        null=judge.null,
        # The hypothesis of rest is kept by a large p-value, that of a unit root rejected by a small one.
        settled_below=judge.passes(0.0),
        smoothing=_fraction(0.04),
        window=_fraction(0.06),
        every=_fraction(0.02),
        start=_steps(1),
        least_window=20,
    )


_TESTS: dict[str, tuple[type[StationarityTest], DetectorSpecification]] = {
    name: (test, _scaled(test, threshold, summary))
    for name, test, threshold, summary in (
        ("ols", OrdinaryLeastSquares, 0.20, "The norm's slope is not significant (Student's t)."),
        ("ols-hac", RobustLeastSquares, 0.20, "The norm's slope is not significant, errors Newey-West."),
        ("mann-kendall", MannKendall, 0.20, "The norm has no significant monotone trend (Mann-Kendall)."),
        ("adf", AugmentedDickeyFuller, 0.05, "A unit root of the norm is rejected (augmented Dickey-Fuller)."),
    )
}


def _published(rule: DetectorSpecification) -> DetectorSpecification:
    """The study's settings, made for a run of 14,774 steps."""
    return replace(
        rule,
        smoothing=_steps(200),
        window=_steps(300),
        every=_steps(100),
        summary=rule.summary[:-1] + ", with the study's 200, 300 and 100 steps.",
    )


def _published_notebook(test: type[StationarityTest], rule: DetectorSpecification) -> DetectorSpecification:
    """What the study's notebooks ran: threshold 0.10, neurons unsmoothed, 100 values after the first window."""
    return replace(
        _published(rule),
        build=_windowed(test, later_window=100),
        threshold=0.10,
        unsmoothed=("neurons",),
        remark="later window 100",
        summary=rule.summary[:-1] + ", as the study's notebooks ran it.",
    )


DETECTORS: Mapping[str, DetectorSpecification] = MappingProxyType(
    {
        "equivalence": DetectorSpecification(
            summary="The norm's drift over a twelfth of the run is below 2% of it, with 95% confidence.",
            build=_windowed(Equivalence),
            threshold=Equivalence.default_threshold,
            null=Equivalence().null,
            settled_below=True,
            smoothing=_steps(1),
            window=_fraction(1 / 12),
            every=_fraction(0.01),
            start=_fraction(0.10),
            least_window=50,
        ),
        "half-time-capture": DetectorSpecification(
            summary="The mask at half of the steps so far captures 95% by today's scores.",
            build=_half_time_capture,
            threshold=0.95,
            null=_NO_TEST,
            settled_below=False,
            start=_fraction(0.06),
        ),
        "split-half-capture": DetectorSpecification(
            summary="The mask of the first half of the evidence so far captures 95% by the second half alone.",
            build=_split_half_capture,
            threshold=0.95,
            null=_NO_TEST,
            settled_below=False,
            start=_fraction(0.02),
        ),
        **{name: rule for name, (_, rule) in _TESTS.items()},
        "hamming": DetectorSpecification(
            summary="Five successive masks differ by at most 10% (Early-Bird's rule).",
            build=_hamming,
            threshold=0.1,
            null=_NO_TEST,
            settled_below=True,
            every=_steps(1),
        ),
        **{f"published-{name}": _published(rule) for name, (_, rule) in _TESTS.items()},
        **{f"published-notebook-{name}": _published_notebook(test, rule) for name, (test, rule) in _TESTS.items()},
    }
)


def detector_named(name: str) -> DetectorSpecification:
    """The specification of a name.

    Raises:
        InputError: no detector has that name; the message names the nearest one.
    """
    if name not in DETECTORS:
        near = get_close_matches(name, DETECTORS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(DETECTORS)}"
        raise InputError(f"there is no detector {name!r}; {hint}")
    return DETECTORS[name]


def described_detectors() -> list[dict[str, str]]:
    """Every detector in words: what it draws on, its null hypothesis, its default settings."""
    rows = []
    for name, rule in DETECTORS.items():
        spans = {"smoothing": rule.smoothing, "window": rule.window, "every": rule.every, "start": rule.start}
        settings = [f"{key} {span}" for key, span in spans.items() if span is not None]
        if rule.remark:
            settings.append(rule.remark)
        if rule.unsmoothed:
            settings.append(f"{', '.join(rule.unsmoothed)} unsmoothed")
        rows.append(
            {
                "detector": name + (" (default)" if name == DEFAULT_DETECTOR else ""),
                "draws_when": rule.summary,
                "null_hypothesis": rule.null,
                "settings": ", ".join([*settings, f"threshold {rule.threshold:g}"]),
            }
        )
    return rows
