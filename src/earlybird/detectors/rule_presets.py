"""Rules on masks and scores, with their default settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from earlybird.detectors.base import Detector
from earlybird.detectors.fixed_time import FixedTime
from earlybird.detectors.half_time_capture import HalfTimeCapture
from earlybird.detectors.hamming import HammingDistance
from earlybird.detectors.lagged_overlap import LaggedOverlap
from earlybird.detectors.online_change_point import OnlineChangePoint
from earlybird.detectors.random_start import RandomStart
from earlybird.detectors.rank_correlation import RankCorrelation
from earlybird.detectors.recent_half_capture import RecentHalfCapture
from earlybird.detectors.specification import DetectorSpecification, ResolvedSettings
from earlybird.detectors.split_half_capture import SplitHalfCapture
from earlybird.detectors.stationary_share import StationaryShare
from earlybird.detectors.subnetwork_similarity import SubnetworkSimilarity
from earlybird.spans import fraction, steps
from earlybird.stationarity.base import StationarityTest
from earlybird.stationarity.mann_kendall import MannKendall

_NO_TEST = "none: a rule, not a test"
# Fewer steps than this in a half say little about anything.
_LEAST_START = 20


def _hamming(settings: ResolvedSettings) -> Detector:
    return HammingDistance(threshold=settings.threshold, every=settings.every, units=tuple(settings.rule.units))


def _fixed_time(settings: ResolvedSettings) -> Detector:
    return FixedTime(threshold=settings.threshold, total_steps=settings.total_steps)


def _random_start(settings: ResolvedSettings) -> Detector:
    return RandomStart(settings.rule)


def _half_time_capture(settings: ResolvedSettings) -> Detector:
    start = max(settings.start, _LEAST_START)
    return HalfTimeCapture(settings.rule, threshold=settings.threshold, start=start, total_steps=settings.total_steps)


def _split_half_capture(settings: ResolvedSettings) -> Detector:
    start = max(settings.start, _LEAST_START)
    return SplitHalfCapture(
        settings.rule, settings.score, threshold=settings.threshold, start=start, total_steps=settings.total_steps
    )


def _recent_half_capture(settings: ResolvedSettings) -> Detector:
    # A run of fewer steps than are worth looking at, as one that only tries whether all works, is looked at once.
    start = min(_LEAST_START, settings.total_steps) if settings.start == _LEAST_START else settings.start
    return RecentHalfCapture(settings.rule, settings.score, threshold=settings.threshold, start=start)


def _lagged_overlap(settings: ResolvedSettings) -> Detector:
    return LaggedOverlap(threshold=settings.threshold, lag=settings.lag, every=settings.every, start=settings.start)


def _rank_correlation(settings: ResolvedSettings) -> Detector:
    return RankCorrelation(
        settings.rule,
        threshold=settings.threshold,
        lag=settings.lag,
        every=settings.every,
        start=settings.start,
    )


def _subnetwork_similarity(settings: ResolvedSettings) -> Detector:
    return SubnetworkSimilarity(threshold=settings.threshold, every=settings.every, start=settings.start)


def _online_change_point(settings: ResolvedSettings) -> Detector:
    return OnlineChangePoint(
        threshold=settings.threshold,
        window=settings.window,
        every=settings.every,
        start=settings.start,
        total_steps=settings.total_steps,
        criterion=settings.criterion,
    )


def stationary_share(test: type[StationarityTest], name: str) -> DetectorSpecification:
    """Share of the units whose own scores a test finds settled; each at the test's own threshold.

    A true null hypothesis gives p below 0.20 for a fifth of the units, so more than 80% cannot be asked for.
    """

    def build(settings: ResolvedSettings) -> Detector:
        return StationaryShare(
            test(),
            settings.rule,
            threshold=settings.threshold,
            window=settings.window,
            every=settings.every,
            start=settings.start,
        )

    return DetectorSpecification(
        summary=f"The scores of 75% of the units are settled by {name}, each by itself.",
        build=build,
        threshold=0.75,
        null=f"of each unit's scores: {test.null}",
        settled_below=False,
        cost=f"the test's on up to 64 points, for each of up to 512 units: {test.cost}",
        window=fraction(1 / 12),
        every=fraction(0.02),
        start=fraction(0.10),
        least_window=50,
    )


_HALVES = DetectorSpecification(
    summary="The mask at half of the steps so far captures 95% by today's scores.",
    build=_half_time_capture,
    threshold=0.95,
    null=_NO_TEST,
    settled_below=False,
    cost="O(u)",
    start=fraction(0.06),
    of_all_kinds=True,
)
_LAGGED = DetectorSpecification(
    summary="The mask shares 95% of its kept units with the one 5% of the run ago.",
    build=_lagged_overlap,
    threshold=0.95,
    null=_NO_TEST,
    settled_below=False,
    cost="O(u)",
    every=fraction(0.01),
    start=fraction(0.10),
    lag=fraction(0.05),
)

RULES: Mapping[str, DetectorSpecification] = {
    "half-time-capture": _HALVES,
    "split-half-capture": replace(
        _HALVES,
        summary="The mask of the first half of the evidence so far captures 95% by the second half alone.",
        build=_split_half_capture,
        start=fraction(0.02),
    ),
    "recent-half-capture": replace(
        _HALVES,
        summary="Of the recent half of the steps, the mask of the first half captures 95% by the second alone.",
        build=_recent_half_capture,
        start=steps(_LEAST_START),
        score="squared-gradient",
    ),
    "hamming": DetectorSpecification(
        summary="Five successive masks differ by at most 10% (Early-Bird's rule).",
        build=_hamming,
        threshold=0.1,
        null=_NO_TEST,
        settled_below=True,
        cost="O(u)",
        every=steps(1),
    ),
    "fixed-time": DetectorSpecification(
        summary="A fifth of the run has passed, whatever the masks do (EarlyBERT's rule).",
        build=_fixed_time,
        threshold=0.2,
        null=_NO_TEST,
        settled_below=False,
        cost="O(1)",
        score="squared-gradient",
        of_all_kinds=True,
    ),
    "random-start": DetectorSpecification(
        summary="Units are chosen randomly after the first step: from scratch no choice does better.",
        build=_random_start,
        threshold=None,
        null=_NO_TEST,
        settled_below=False,
        cost="O(u log u)",
        score="squared-gradient",
        of_all_kinds=True,
    ),
    "lagged-overlap": _LAGGED,
    "rank-correlation": replace(
        _LAGGED,
        summary="The ranks of the scores correlate by 0.98 with those 10% of the run ago (Spearman).",
        build=_rank_correlation,
        threshold=0.98,
        start=fraction(0.04),
        lag=fraction(0.10),
        cost="O(u log u)",
    ),
    "subnetwork-similarity": DetectorSpecification(
        summary="The sub-networks of successive checks are alike to 99.9% (OCSPruner; every: 1ep as published).",
        build=_subnetwork_similarity,
        threshold=0.999,
        null=_NO_TEST,
        settled_below=False,
        cost="O(u)",
        every=fraction(0.02),
        start=steps(1),
    ),
    "stationary-share": stationary_share(MannKendall, "mann-kendall"),
    "bayesian-change-point-online": DetectorSpecification(
        summary="The norm's level has stood for a twelfth of the run with 95% probability (Bayesian, online).",
        build=_online_change_point,
        threshold=0.95,
        null="none: a posterior probability, one change of level in the whole run expected beforehand",
        settled_below=False,
        cost="O(1); at each step O(run lengths held, up to 1000)",
        window=fraction(1 / 12),
        every=fraction(0.01),
        start=fraction(0.10),
        criterion="nuclear-norm",
        least_window=50,
    ),
}
