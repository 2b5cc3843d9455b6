"""One detection over all kinds: the code that runs online, step by step, and offline, over a recording."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from earlybird.config import SearchConfig
from earlybird.detectors.base import Observation, chosen_by
from earlybird.detectors.criterion import Criterion
from earlybird.detectors.defaults import scored_by, with_defaults
from earlybird.detectors.draw import Draw, KindDraw
from earlybird.detectors.expression import detector_factory
from earlybird.detectors.observer import Observer
from earlybird.detectors.scores import Scores
from earlybird.masks import MaskRule, Prunable, mask_rules
from earlybird.vocabulary import CHANNELS, Channel, How, Kind


class Detection:
    """Watches every kind with a detector of its own and draws when all have settled.

    `joint="latched"`: a kind that has settled stays settled. `"simultaneous"`: all must be settled at one and
    the same check. All masks are taken at the step at which the last kind settles.

    Args:
        config: what is pruned, by which score and detector.
        source: of the units: a model's anatomy, or a record's shape.
        total_steps: planned of the run.
        steps_per_epoch: needed only where spans are given in epochs.
        recorded: the channels of a record, where it is one that is read.

    Attributes:
        config: with its detector and its score.
        score: what ranks the units.
        rules: how scores become masks, per kind that is pruned.
        detectors: per kind.
        factory: what made them.
        draw: the verdict, once there is one.
        settled: the kinds that have settled.
        values: what the criteria that are read said at the newest step, per kind.

    Raises:
        InputError: nothing to prune, an unknown detector, a setting that it does not have, or a first check after the
            end of the run.
    """

    def __init__(
        self,
        config: SearchConfig,
        source: Prunable,
        *,
        total_steps: int,
        steps_per_epoch: float | None = None,
        recorded: Collection[Channel] = CHANNELS,
    ) -> None:
        self.total_steps = total_steps
        self.rules: dict[Kind, MaskRule] = mask_rules(config, source)
        # By their names, so that a draw says what decided even where that is the default, which may change.
        self.config = config = with_defaults(config, recorded)
        self.factory = detector_factory(config)
        self.score = scored_by(config)
        self.detectors = {
            kind: self.factory.build(kind, rule, self.score, total_steps, steps_per_epoch)
            for kind, rule in self.rules.items()
        }
        self.draw: Draw | None = None
        self.settled: dict[Kind, KindDraw] = {}
        self.values: dict[Kind, Mapping[Criterion, float]] = {}
        self._observers = {
            kind: Observer(kind, self.rules[kind], detector.criteria) for kind, detector in self.detectors.items()
        }

    def update(self, scores: Mapping[Kind, Scores]) -> Draw | None:
        """Take the scores of the next steps, of each kind; the draw, once there is one.

        Nothing is looked at after the draw.
        """
        if self.draw is not None:
            return self.draw
        streams = [observer.observations(scores[kind]) for kind, observer in self._observers.items()]
        for observations in zip(*streams, strict=True):
            if self.observe(dict(zip(self._observers, observations, strict=True))) is not None:
                break
        return self.draw

    def observe(self, observations: Mapping[Kind, Observation]) -> Draw | None:
        """Take the next step's observations, one per kind; the draw, once there is one."""
        for kind, detector in self.detectors.items():
            observation = observations[kind]
            detector.update(observation)
            self.values[kind] = observation.values
            if not detector.checked:
                continue
            if detector.settled:
                self.settled.setdefault(kind, KindDraw(observation.step, detector.statistic, self.factory.threshold))
            elif self.config.joint == "simultaneous":
                self.settled.pop(kind, None)
        # A kind that settled earlier must not have its mask taken at a step that says nothing about it.
        if len(self.settled) == len(self.rules) and all(o.evidence for o in observations.values()):
            last = max(self.settled.values(), key=lambda kind_draw: kind_draw.step)
            step = next(iter(observations.values())).step
            chosen = {kind: chosen_by(self.detectors[kind], observations[kind]) for kind in self.rules}
            masks = {kind: one.mask.copy() for kind, one in chosen.items()}
            scores = {kind: one.scores for kind, one in chosen.items()}
            self.draw = self._drawn("detector", step, scores, masks, self.settled, last.statistic)
        return self.draw

    def draw_at(self, step: int, scores: Mapping[Kind, NDArray[np.floating]], how: How) -> Draw:
        """The draw at a 0-based step whatever the detector says, from that step's scores (layers, units)."""
        masks = {kind: rule.masks(scores[kind]) for kind, rule in self.rules.items()}
        kinds = {kind: KindDraw(step, None, None) for kind in self.rules}
        return self._drawn(how, step, scores, masks, kinds, None)

    def _drawn(
        self,
        how: How,
        step: int,
        scores: Mapping[Kind, NDArray[np.floating]],
        masks: Mapping[Kind, NDArray[np.bool_]],
        kinds: Mapping[Kind, KindDraw],
        statistic: float | None,
    ) -> Draw:
        return Draw(
            step=step,
            fraction=(step + 1) / self.total_steps,
            statistic=statistic,
            how=how,
            detector=self.factory.name if how in ("detector", "end") else None,
            kinds=dict(kinds),
            masks=masks,
            kept_by_minimum={kind: rule.kept_by_minimum(scores[kind]) for kind, rule in self.rules.items()},
            config=self.config,
            total_steps=self.total_steps,
        )
