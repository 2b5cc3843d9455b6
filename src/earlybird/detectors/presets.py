"""The detectors that a user picks by name: our defaults, and the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from earlybird.detectors.rule_presets import RULES
from earlybird.detectors.settings import DetectorSpecification
from earlybird.detectors.window_presets import PUBLISHED, WINDOWED
from earlybird.errors import InputError

DEFAULT_DETECTOR = "rank-correlation"
DETECTORS: Mapping[str, DetectorSpecification] = MappingProxyType({**WINDOWED, **RULES, **PUBLISHED})


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
