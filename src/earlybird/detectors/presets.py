"""The detectors that a user picks by name: our defaults, and the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from earlybird.detectors.rule_presets import RULES
from earlybird.detectors.specification import DetectorSpecification
from earlybird.detectors.window_presets import PUBLISHED, WINDOWED
from earlybird.errors import InputError, nearest
from earlybird.vocabulary import Score

# By what tickets are worth after training; docs/defaults.md says what was measured.
DEFAULT_DETECTORS: Mapping[Score, str] = MappingProxyType(
    {
        "coefficient": "rank-correlation",
        "gradient": "recent-half-capture",
        "squared-gradient": "recent-half-capture",
    }
)
DETECTORS: Mapping[str, DetectorSpecification] = MappingProxyType({**WINDOWED, **RULES, **PUBLISHED})


def detector_named(name: str) -> DetectorSpecification:
    """The specification of a name.

    Raises:
        InputError: no detector has that name; the message names the nearest one.
    """
    if name not in DETECTORS:
        raise InputError(f"there is no detector {name!r}; {nearest(name, DETECTORS)}")
    return DETECTORS[name]
