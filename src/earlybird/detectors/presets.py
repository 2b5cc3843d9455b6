"""The detectors that a user picks by name: our defaults, and the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from types import MappingProxyType

from earlybird.detectors.settings import DetectorSpecification
from earlybird.detectors.spans import Span
from earlybird.errors import InputError
from earlybird.stationarity.adf import AugmentedDickeyFuller
from earlybird.stationarity.equivalence import Equivalence
from earlybird.stationarity.mann_kendall import MannKendall
from earlybird.stationarity.ols import OrdinaryLeastSquares, RobustLeastSquares

DEFAULT_DETECTOR = "equivalence"


def _fraction(amount: float) -> Span:
    return Span(amount, "fraction")


def _steps(amount: int) -> Span:
    return Span(amount, "steps")


# The published proportions, 200 : 300 : 100 steps, scaled to the run: a first check at 10% of it.
_SCALED = DetectorSpecification(
    summary="",
    test=OrdinaryLeastSquares,
    threshold=0.20,
    smoothing=_fraction(0.04),
    window=_fraction(0.06),
    every=_fraction(0.02),
    start=_steps(1),
    least_window=20,
)
_TESTS = {
    "ols": replace(_SCALED, summary="The norm's slope is not significant (Student's t)."),
    "ols-hac": replace(
        _SCALED, test=RobustLeastSquares, summary="The norm's slope is not significant, errors Newey-West."
    ),
    "mann-kendall": replace(
        _SCALED, test=MannKendall, summary="The norm has no significant monotone trend (Mann-Kendall)."
    ),
    "adf": replace(
        _SCALED,
        test=AugmentedDickeyFuller,
        threshold=0.05,
        summary="A unit root of the norm is rejected (augmented Dickey-Fuller).",
    ),
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


def _published_notebook(rule: DetectorSpecification) -> DetectorSpecification:
    """What the study's notebooks ran: threshold 0.10, neurons unsmoothed, 100 values after the first window."""
    return replace(
        _published(rule),
        threshold=0.10,
        later_window=100,
        unsmoothed=("neurons",),
        summary=rule.summary[:-1] + ", as the study's notebooks ran it.",
    )


DETECTORS: Mapping[str, DetectorSpecification] = MappingProxyType(
    {
        "equivalence": DetectorSpecification(
            summary="The norm's drift over a twelfth of the run is below 2% of it, with 95% confidence.",
            test=Equivalence,
            threshold=Equivalence.default_threshold,
            smoothing=_steps(1),
            window=_fraction(1 / 12),
            every=_fraction(0.01),
            start=_fraction(0.10),
            least_window=50,
        ),
        **_TESTS,
        "hamming": DetectorSpecification(
            summary="Five successive masks differ by at most 10% (Early-Bird's rule).",
            test=None,
            threshold=0.1,
            every=_steps(1),
        ),
        **{f"published-{name}": _published(rule) for name, rule in _TESTS.items()},
        **{f"published-notebook-{name}": _published_notebook(rule) for name, rule in _TESTS.items()},
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
        if rule.later_window is not None:
            settings.append(f"later window {rule.later_window}")
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
