"""Observations -> draw: one rule a file, online and offline by the same code.

The classes here are what a detector of one's own is made of, or is: `SearchConfig(detector=WindowedTest(...))`.
"""

from earlybird.detectors.base import Detector, Observation
from earlybird.detectors.combinations import AllOf, AnyOf, Repeated
from earlybird.detectors.criterion import Criterion
from earlybird.detectors.fixed_time import FixedTime
from earlybird.detectors.half_time_capture import HalfTimeCapture
from earlybird.detectors.hamming import HammingDistance
from earlybird.detectors.lagged import LaggedComparison
from earlybird.detectors.lagged_overlap import LaggedOverlap
from earlybird.detectors.online_change_point import OnlineChangePoint
from earlybird.detectors.rank_correlation import RankCorrelation
from earlybird.detectors.split_half_capture import SplitHalfCapture
from earlybird.detectors.stationary_share import StationaryShare
from earlybird.detectors.subnetwork_similarity import SubnetworkSimilarity
from earlybird.detectors.window import WindowedTest

__all__ = [
    "AllOf",
    "AnyOf",
    "Criterion",
    "Detector",
    "FixedTime",
    "HalfTimeCapture",
    "HammingDistance",
    "LaggedComparison",
    "LaggedOverlap",
    "Observation",
    "OnlineChangePoint",
    "RankCorrelation",
    "Repeated",
    "SplitHalfCapture",
    "StationaryShare",
    "SubnetworkSimilarity",
    "WindowedTest",
]
