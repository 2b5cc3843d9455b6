"""One detection over all kinds: the code that runs online, step by step, and offline, over a recording."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from earlybird.config import SearchConfig
from earlybird.detectors.base import Observation, chosen_by
from earlybird.detectors.criterion import Criterion
from earlybird.detectors.defaults import scored_by, with_amount, with_defaults
from earlybird.detectors.draw import Draw, KindDraw
from earlybird.detectors.expression import detector_factory
from earlybird.detectors.observer import Observer
from earlybird.detectors.scores import Scores
from earlybird.detectors.streams import Streams
from earlybird.masks import Prunable, UnitCosts
from earlybird.vocabulary import CHANNELS, Channel, How, Kind, Stream


class Detection:
    """Watches every kind with a detector of its own and draws when all have settled.

    `joint="latched"`: a kind that has settled stays settled. `"simultaneous"`: all must be settled at one and
    the same check. All masks are taken at the step at which the last kind settles.

    Args:
        config: what is pruned, by which score and detector.
        source: of the units: a model's anatomy, or a record's shape.
        total_steps: planned of the run.
        steps_per_epoch: needed only where spans are given in epochs.
        costs: of the units, where there is a budget and the source does not know them.
        recorded: the channels of a record, where it is one that is read.

    Attributes:
        config: with its detector and its score.
        score: what ranks the units.
        streams: what is watched, each kind or all units together, and how scores become masks.
        detectors: per stream.
        factory: what made them.
        draw: the verdict, once there is one.
        values: what the criteria that are read said at the newest step, per stream.

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
        costs: UnitCosts | None = None,
        recorded: Collection[Channel] = CHANNELS,
    ) -> None:
        self.total_steps = total_steps
        config = with_amount(config, source, recorded)
        self.streams = Streams(config, source, costs)
        # By their names, so that a draw says what decided even where that is the default, which may change.
        self.config = config = with_defaults(config, recorded)
        self.factory = detector_factory(config)
        self.score = scored_by(config)
        self.detectors = {
            stream: self.factory.build(stream, rule, self.score, total_steps, steps_per_epoch)
            for stream, rule in self.streams.rules.items()
        }
        self.draw: Draw | None = None
        self.values: dict[Stream, Mapping[Criterion, float]] = {}
        self._settled: dict[Stream, KindDraw] = {}
        self._observers = {
            stream: Observer(stream, self.streams.rules[stream], detector.criteria)
            for stream, detector in self.detectors.items()
        }

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that are pruned, whose scores are looked at."""
        return tuple(self.streams.kinds)

    @property
    def settled(self) -> dict[Kind, KindDraw]:
        """The kinds that have settled."""
        return self.streams.each_kind(self._settled)

    def update(self, scores: Mapping[Kind, Scores]) -> Draw | None:
        """Take the scores of the next steps, of each kind; the draw, once there is one.

        Nothing is looked at after the draw.
        """
        if self.draw is not None:
            return self.draw
        by_stream = self.streams.scores(scores)
        streams = [observer.observations(by_stream[stream]) for stream, observer in self._observers.items()]
        for observations in zip(*streams, strict=True):
            if self.observe(dict(zip(self._observers, observations, strict=True))) is not None:
                break
        return self.draw

    def observe(self, observations: Mapping[Stream, Observation]) -> Draw | None:
        """Take the next step's observations, one per stream; the draw, once there is one."""
        for stream, detector in self.detectors.items():
            observation = observations[stream]
            detector.update(observation)
            self.values[stream] = observation.values
            if not detector.checked:
                continue
            if detector.settled:
                self._settled.setdefault(stream, KindDraw(observation.step, detector.statistic, self.factory.threshold))
            elif self.config.joint == "simultaneous":
                self._settled.pop(stream, None)
        # A kind that settled earlier must not have its mask taken at a step that says nothing about it.
        if len(self._settled) == len(self.detectors) and all(o.evidence for o in observations.values()):
            last = max(self._settled.values(), key=lambda kind_draw: kind_draw.step)
            step = next(iter(observations.values())).step
            chosen = {stream: chosen_by(detector, observations[stream]) for stream, detector in self.detectors.items()}
            masks = {stream: one.mask.copy() for stream, one in chosen.items()}
            scores = {stream: one.scores for stream, one in chosen.items()}
            self.draw = self._drawn("detector", step, scores, masks, self.settled, last.statistic)
        return self.draw

    def draw_at(self, step: int, scores: Mapping[Kind, NDArray[np.floating]], how: How) -> Draw:
        """The draw at a 0-based step whatever the detector says, from that step's scores (layers, units)."""
        by_stream = self.streams.arrays(scores)
        masks = {stream: rule.masks(by_stream[stream]) for stream, rule in self.streams.rules.items()}
        kinds = {kind: KindDraw(step, None, None) for kind in self.kinds}
        return self._drawn(how, step, by_stream, masks, kinds, None)

    def masks(self, scores: Mapping[Kind, NDArray[np.floating]]) -> dict[Kind, NDArray[np.bool_]]:
        """The masks that one step's scores (layers, units) of each kind imply."""
        by_stream = self.streams.arrays(scores)
        return self.streams.by_kind(
            {stream: rule.masks(by_stream[stream]) for stream, rule in self.streams.rules.items()}
        )

    def _drawn(
        self,
        how: How,
        step: int,
        scores: Mapping[Stream, NDArray[np.floating]],
        masks: Mapping[Stream, NDArray[np.bool_]],
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
            masks=self.streams.by_kind(masks),
            units={kind: sum(rule.units) for kind, rule in self.streams.kinds.items()},
            kept_by_minimum=self.streams.kept_by_minimum(scores, masks),
            config=self.config,
            total_steps=self.total_steps,
        )
