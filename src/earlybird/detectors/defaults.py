"""What a config leaves open, detector and score, filled in."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import fields, replace
from typing import Any, TypeVar

from earlybird.config import (
    DEFAULT_FLOPS,
    DEFAULT_RATIOS,
    DEFAULT_SCORE,
    DetectorConfig,
    PruningConfig,
    SearchConfig,
    SlimmingConfig,
)
from earlybird.detectors.expression import detector_factory
from earlybird.detectors.presets import DEFAULT_DETECTORS
from earlybird.detectors.scores import channels_of
from earlybird.errors import InputError
from earlybird.masks import Prunable
from earlybird.vocabulary import CHANNELS, SCORES, Channel, Score

Config = TypeVar("Config", bound=DetectorConfig)

_log = logging.getLogger(__name__)


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


def with_amount(config: SearchConfig, source: Prunable, recorded: Collection[Channel] = CHANNELS) -> SearchConfig:
    """The config with how much is pruned, where it says nothing of it: half of the blocks' FLOPs are left.

    Where that cannot be asked for there are ratios: by scores that do not add up, by detectors that count units, with a
    threshold in each layer, and where nobody can count the FLOPs.

    Args:
        config: of a search.
        source: of the units.
        recorded: the channels of a record.
    """
    if config.says_amount:
        return config
    if takes_budget(config, recorded) and "layer" not in (config.heads_scope, config.neurons_scope):
        try:
            source.unit_costs("flops", config.tokens)
            return replace(config, flops=DEFAULT_FLOPS)
        except InputError as reason:
            _log.info("pruning by the default ratios instead of a budget: %s", reason)
    ratios: dict[str, Any] = {kind: ratio for kind, ratio in DEFAULT_RATIOS.items() if source.units.get(kind)}
    return replace(config, **ratios, heads_scope=config.heads_scope or "global")


def takes_budget(config: DetectorConfig, recorded: Collection[Channel] = CHANNELS) -> bool:
    """Whether a budget can be met by a config's score, and its detector watches units of all kinds together."""
    detector, score = detector_and_score(config, recorded)
    return score == DEFAULT_SCORE and detector_factory(replace(config, detector=detector)).of_all_kinds


def scored_by(config: DetectorConfig, recorded: Collection[Channel] = CHANNELS) -> Score:
    """The score of a config, or what stands for it."""
    return detector_and_score(config, recorded)[1]


def _trains_coefficients(config: DetectorConfig) -> bool:
    """Whether a config sets what only coefficients that are trained have."""
    if not isinstance(config, SlimmingConfig):
        return False
    own = {each.name: each.default for each in fields(SlimmingConfig)}
    return any(getattr(config, name) != own[name] for name in ("learning_rate", "l1_heads", "l1_neurons", "l1_experts"))
