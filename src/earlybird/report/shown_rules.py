"""How the report makes each kind's masks by itself, with a budget too."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from earlybird.config import SearchConfig
from earlybird.detectors.defaults import scored_by
from earlybird.detectors.streams import Streams
from earlybird.masks import MaskRule, mask_rules
from earlybird.masks.rule import rule_of
from earlybird.report.series import scores_at
from earlybird.ticket import Ticket
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import Kind


def shown_rules(config: SearchConfig, trajectory: Trajectory, ticket: Ticket | None) -> dict[Kind, MaskRule]:
    """How scores become the masks that are shown, per kind.

    With a budget the shares of the kinds change from step to step. What is shown of a kind keeps at every step as many
    units as the ticket, or before a draw as the masks of the last recorded step.

    Raises:
        InputError: nothing is to be pruned, or the record does not tell what a unit costs.
    """
    if config.budget is None:
        return mask_rules(config, trajectory.shape)
    masks = _last_masks(config, trajectory) if ticket is None else ticket.masks
    rules: dict[Kind, MaskRule] = {}
    for kind, mask in masks.items():
        units = sum(trajectory.shape.units[kind])
        pruned = units - int(mask.sum())
        if pruned:
            # In the middle between the ratios of this count and of the one before.
            rules[kind] = rule_of(kind, (pruned - 0.5) / max(1, units - 1), config, trajectory.shape)
    return rules


def _last_masks(config: SearchConfig, trajectory: Trajectory) -> Mapping[Kind, NDArray[np.bool_]]:
    streams = Streams(config, trajectory.shape)
    score = scored_by(config, trajectory.shape.channels)
    last = np.array([trajectory.steps - 1])
    scores = streams.arrays({kind: next(scores_at(trajectory, kind, score, last))[0] for kind in streams.kinds})
    return streams.by_kind({stream: rule.masks(scores[stream]) for stream, rule in streams.rules.items()})
