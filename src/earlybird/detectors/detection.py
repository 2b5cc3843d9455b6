"""One detection over all kinds: the code that runs online, step by step, and offline, over a recording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from earlybird.detectors.base import Observation
from earlybird.detectors.criterion import Criterion
from earlybird.detectors.draw import Draw, KindDraw
from earlybird.detectors.observe import Observer
from earlybird.detectors.pruning import Pruning
from earlybird.detectors.scores import Score, Scores
from earlybird.detectors.settings import Choice
from earlybird.errors import InputError
from earlybird.trajectory import Kind

Joint = Literal["latched", "simultaneous"]


class Detection:
    """Watches every kind with a detector of its own and draws when all have settled.

    `joint="latched"`: a kind that has settled stays settled. `"simultaneous"`: all must be settled at one and
    the same check. All masks are taken at the step at which the last kind settles.

    Attributes:
        draw: the verdict, once there is one.
        settled: the kinds that have settled.
        values: what the criteria that are read said at the newest step, per kind.
    """

    def __init__(
        self,
        prunings: Mapping[Kind, Pruning],
        choice: Choice,
        *,
        total_steps: int,
        score: Score = "coefficient",
        steps_per_epoch: float | None = None,
        joint: Joint = "latched",
    ) -> None:
        if not prunings:
            raise InputError("give a ratio above 0 for heads, for neurons or for both: there is nothing to prune")
        self.prunings = prunings
        self.choice = choice
        self.score: Score = score
        self.total_steps = total_steps
        self.joint = joint
        self.draw: Draw | None = None
        self.detectors = {
            kind: choice.build(kind, pruning, score, total_steps, steps_per_epoch) for kind, pruning in prunings.items()
        }
        self.settled: dict[Kind, KindDraw] = {}
        self.values: dict[Kind, Mapping[Criterion, float]] = {}
        self._observers = {
            kind: Observer(kind, prunings[kind], detector.criteria) for kind, detector in self.detectors.items()
        }
        self._steps = 0

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
                self.settled.setdefault(kind, KindDraw(observation.step, detector.statistic, self.choice.threshold))
            elif self.joint == "simultaneous":
                self.settled.pop(kind, None)
        # A kind that settled earlier must not have its mask taken at a step that says nothing about it.
        if len(self.settled) == len(self.prunings) and all(o.evidence for o in observations.values()):
            self.draw = self._drawn(observations)
        self._steps += 1
        return self.draw

    def draw_now(self, scores: Mapping[Kind, NDArray[np.floating]], how: str) -> Draw:
        """A draw that no detector asked for, at the newest step, from its scores (layers, units)."""
        return forced_draw(
            self.prunings, scores, step=self._steps - 1, total_steps=self.total_steps, how=how, score=self.score
        )

    def _drawn(self, observations: Mapping[Kind, Observation]) -> Draw:
        last = max(self.settled.values(), key=lambda kind_draw: kind_draw.step)
        step = self._steps
        return Draw(
            step=step,
            fraction=(step + 1) / self.total_steps,
            statistic=last.statistic,
            detector=self.choice.name,
            kinds=dict(self.settled),
            masks={kind: observations[kind].mask.copy() for kind in self.prunings},
            rescued={kind: pruning.rescued(observations[kind].scores) for kind, pruning in self.prunings.items()},
            ratios={kind: pruning.ratio for kind, pruning in self.prunings.items()},
            scopes={kind: pruning.scope for kind, pruning in self.prunings.items()},
            score=self.score,
            total_steps=self.total_steps,
        )


def forced_draw(
    prunings: Mapping[Kind, Pruning],
    scores: Mapping[Kind, NDArray[np.floating]],
    *,
    step: int,
    total_steps: int,
    how: str,
    score: Score,
) -> Draw:
    """The draw at a given step, whatever a detector says; scores (layers, units) per kind."""
    return Draw(
        step=step,
        fraction=(step + 1) / total_steps,
        statistic=None,
        detector=how,
        kinds={kind: KindDraw(step, None, None) for kind in prunings},
        masks={kind: pruning.masks(scores[kind]) for kind, pruning in prunings.items()},
        rescued={kind: pruning.rescued(scores[kind]) for kind, pruning in prunings.items()},
        ratios={kind: pruning.ratio for kind, pruning in prunings.items()},
        scopes={kind: pruning.scope for kind, pruning in prunings.items()},
        score=score,
        total_steps=total_steps,
    )
