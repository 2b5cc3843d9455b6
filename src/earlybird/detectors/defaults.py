"""What a config leaves open, detector and score, filled in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace
from typing import Any, TypeVar

from earlybird.config import DEFAULT_SCORE, DetectorConfig, PruningConfig, SlimmingConfig
from earlybird.detectors.expression import detector_factory
from earlybird.detectors.presets import DEFAULT_DETECTORS
from earlybird.detectors.scores import channels_of
from earlybird.vocabulary import CHANNELS, SCORES, Channel, Score

Config = TypeVar("Config", bound=DetectorConfig)


def detector_and_score(config: DetectorConfig, recorded: Collection[Channel] = CHANNELS) -> tuple[Any, Score]:
    """A config's detector and score, or what stands for them where it names none.

    Without a detector the score says which. Without a score the detector says what it is made for; who sets how
    coefficients are trained asks for those. A record that does not hold that score's evidence is read by one that it
    holds.

    Args:
        config: names one, both or none.
        recorded: the channels of a record; by default all, as a search may read any.

    Raises:
        InputError: see `detector_factory`.
    """
    score = config.score
    if score is None:
        made_for = DEFAULT_SCORE if config.detector is None else detector_factory(config).score
        if _trains_coefficients(config):
            made_for = "coefficient"
        if isinstance(config, PruningConfig) and config.budget is not None:
            made_for = DEFAULT_SCORE  # the only one that a budget can be met by
        held = [one for one in (made_for, DEFAULT_SCORE, *SCORES) if set(channels_of(one)) & set(recorded)]
        score = held[0] if held else made_for
    return DEFAULT_DETECTORS[score] if config.detector is None else config.detector, score


def with_defaults(config: Config, recorded: Collection[Channel] = CHANNELS) -> Config:
    """The config with both said, see `detector_and_score`."""
    detector, score = detector_and_score(config, recorded)
    return (
        config
        if (config.detector, config.score) == (detector, score)
        else replace(config, detector=detector, score=score)
    )


def scored_by(config: DetectorConfig, recorded: Collection[Channel] = CHANNELS) -> Score:
    """The score of a config, or what stands for it."""
    return detector_and_score(config, recorded)[1]


def _trains_coefficients(config: DetectorConfig) -> bool:
    """Whether a config sets what only coefficients that are trained have."""
    if not isinstance(config, SlimmingConfig):
        return False
    own = {each.name: each.default for each in fields(SlimmingConfig)}
    return any(getattr(config, name) != own[name] for name in ("learning_rate", "l1_heads", "l1_neurons"))
