"""Statistical tests on windows of a criterion, with their default settings and the published ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from earlybird.detectors.base import Detector
from earlybird.detectors.specification import DetectorSpecification, ResolvedSettings
from earlybird.detectors.window import WindowedTest
from earlybird.spans import fraction, steps
from earlybird.stationarity.adf import AugmentedDickeyFuller
from earlybird.stationarity.autoregression import AutoregressiveRoot
from earlybird.stationarity.base import StationarityTest
from earlybird.stationarity.bayesian_change_point import BayesianChangePoint
from earlybird.stationarity.cusum import CumulativeSum
from earlybird.stationarity.df_gls import DickeyFullerGLS
from earlybird.stationarity.equivalence import Equivalence
from earlybird.stationarity.hamed_rao import HamedRao
from earlybird.stationarity.kpss import KwiatkowskiPhillipsSchmidtShin
from earlybird.stationarity.level_equivalence import LevelEquivalence
from earlybird.stationarity.mann_kendall import MannKendall
from earlybird.stationarity.markov_switching import MarkovSwitching
from earlybird.stationarity.ols import OrdinaryLeastSquares, RobustLeastSquares
from earlybird.stationarity.pelt import PrunedExactLinearTime
from earlybird.stationarity.phillips_perron import PhillipsPerron
from earlybird.stationarity.pre_whitening import PreWhitened
from earlybird.stationarity.window_change_point import SlidingWindow
from earlybird.stationarity.yue_wang import YueWang


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
            criterion=settings.criterion,
        )

    return build


def _scaled(test: type[StationarityTest], summary: str) -> DetectorSpecification:
    """The published proportions, 200 : 300 : 100 steps, scaled to the run: a first check at 10% of it."""
    return DetectorSpecification(
        summary=summary,
        build=_windowed(test),
        threshold=test.default_threshold,
        null=test.null,
        settled_below=test.settled_below,
        cost=test.cost,
        smoothing=fraction(0.04),
        window=fraction(0.06),
        every=fraction(0.02),
        start=steps(1),
        criterion="nuclear-norm",
        least_window=20,
        test=test,
    )


def _unsmoothed(test: type[StationarityTest], summary: str) -> DetectorSpecification:
    """A twelfth of the run, unsmoothed: a moving average makes every jump a ramp and all noise correlated."""
    return replace(
        _scaled(test, summary),
        smoothing=steps(1),
        window=fraction(1 / 12),
        every=fraction(0.01),
        start=fraction(0.10),
        least_window=50,
    )


_STUDY: dict[str, DetectorSpecification] = {
    "ols": _scaled(OrdinaryLeastSquares, "The norm's slope is not significant (Student's t)."),
    "ols-hac": _scaled(RobustLeastSquares, "The norm's slope is not significant, errors Newey-West."),
    "mann-kendall": _scaled(MannKendall, "The norm has no significant monotone trend (Mann-Kendall)."),
    "adf": _scaled(AugmentedDickeyFuller, "A unit root of the norm is rejected (augmented Dickey-Fuller)."),
}

WINDOWED: Mapping[str, DetectorSpecification] = {
    "equivalence": _unsmoothed(
        Equivalence, "The norm's drift over a twelfth of the run is below 2% of it, with 95% confidence."
    ),
    "level-equivalence": _unsmoothed(
        LevelEquivalence, "The norm's levels in a window's halves differ by less than 2% of it, with 95% confidence."
    ),
    **_STUDY,
    "mann-kendall-hamed-rao": _scaled(
        HamedRao, "The norm has no significant monotone trend, its variance as Hamed and Rao correct it."
    ),
    "mann-kendall-yue-wang": _scaled(
        YueWang, "The norm has no significant monotone trend, its variance as Yue and Wang correct it."
    ),
    "mann-kendall-pre-whitened": _scaled(
        PreWhitened, "The pre-whitened norm has no significant monotone trend (Mann-Kendall)."
    ),
    "kpss": _scaled(
        KwiatkowskiPhillipsSchmidtShin, "Stationarity of the norm is not rejected (Kwiatkowski and others)."
    ),
    "phillips-perron": _scaled(PhillipsPerron, "A unit root of the norm is rejected (Phillips-Perron)."),
    "df-gls": _scaled(DickeyFullerGLS, "A unit root of the norm is rejected (DF-GLS)."),
    "autoregressive-root": _unsmoothed(
        AutoregressiveRoot,
        "The norm is a first-order autoregression without a unit root, its residuals passing Durbin-Watson.",
    ),
    "cusum": _unsmoothed(CumulativeSum, "The norm's cumulated deviations from its mean do not stray."),
    "pelt": _unsmoothed(
        PrunedExactLinearTime, "Three quarters of the window lie after the norm's last change of level (PELT)."
    ),
    "window-change-point": _unsmoothed(
        SlidingWindow, "Three quarters of the window lie after the norm's last change of level (sliding window)."
    ),
    "bayesian-change-point": _unsmoothed(
        BayesianChangePoint, "No change of the norm's level in the window is more probable than one."
    ),
    # Each check takes about half a second.
    "markov-switching": replace(
        _unsmoothed(MarkovSwitching, "The norm's increments come from a state at rest (Markov switching)."),
        every=fraction(0.02),
    ),
}


def _published(rule: DetectorSpecification) -> DetectorSpecification:
    """The study's settings, made for a run of 14,774 steps."""
    return replace(
        rule,
        smoothing=steps(200),
        window=steps(300),
        every=steps(100),
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


PUBLISHED: Mapping[str, DetectorSpecification] = {
    **{f"published-{name}": _published(rule) for name, rule in _STUDY.items()},
    **{
        f"published-notebook-{name}": _published_notebook(rule.test, rule)
        for name, rule in _STUDY.items()
        if rule.test is not None
    },
}
