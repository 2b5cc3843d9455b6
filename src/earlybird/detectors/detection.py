"""One detection over all kinds: the code that runs online, step by step, and offline, over a recording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from earlybird.detectors.draw import Draw, KindDraw
from earlybird.detectors.observe import Pruning
from earlybird.detectors.scores import Score
from earlybird.detectors.settings import DetectorChoice
from earlybird.errors import InputError
from earlybird.trajectory import Kind

Joint = Literal["latched", "simultaneous"]


class Detection:
    """Watches every kind with a detector of its own and draws when all have settled.

    `joint="latched"`: a kind that has settled stays settled. `"simultaneous"`: all must be settled at one and
    the same check. All masks are taken at the step at which the last kind settles.
    """

    def __init__(
        self,
        prunings: Mapping[Kind, Pruning],
        choice: DetectorChoice,
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
        self.norms: dict[Kind, float] = {}
        self._settled: dict[Kind, KindDraw] = {}
        self._steps = 0

    def update(self, scores: Mapping[Kind, NDArray[np.floating]]) -> Draw | None:
        """Take the scores of the next steps, (steps, layers, units) per kind; the draw, once there is one.

        Nothing is looked at after the draw.
        """
        if self.draw is not None:
            return self.draw
        first = self._steps
        streams = {kind: self.prunings[kind].observations(kind, first, scores[kind]) for kind in self.prunings}
        for observations in zip(*streams.values(), strict=True):
            for kind, observation in zip(streams, observations, strict=True):
                detector = self.detectors[kind]
                detector.update(observation)
                self.norms[kind] = observation.value
                if not detector.checked:
                    continue
                if detector.settled:
                    self._settled.setdefault(
                        kind, KindDraw(observation.step, detector.statistic, self.choice.threshold)
                    )
                elif self.joint == "simultaneous":
                    self._settled.pop(kind, None)
            # A kind that settled earlier must not have its mask taken at a step that says nothing about it.
            if len(self._settled) == len(self.prunings) and all(o.evidence for o in observations):
                self.draw = self._drawn({kind: o.scores for kind, o in zip(streams, observations, strict=True)})
            self._steps += 1
            if self.draw is not None:
                break
        return self.draw

    def draw_now(self, scores: Mapping[Kind, NDArray[np.floating]], how: str) -> Draw:
        """A draw that no detector asked for, at the newest step, from its scores (layers, units)."""
        return forced_draw(
            self.prunings, scores, step=self._steps - 1, total_steps=self.total_steps, how=how, score=self.score
        )

    def _drawn(self, scores: Mapping[Kind, NDArray[np.floating]]) -> Draw:
        last = max(self._settled.values(), key=lambda kind_draw: kind_draw.step)
        step = self._steps
        return Draw(
            step=step,
            fraction=(step + 1) / self.total_steps,
            statistic=last.statistic,
            detector=self.choice.name,
            kinds=dict(self._settled),
            masks={kind: pruning.masks(scores[kind]) for kind, pruning in self.prunings.items()},
            rescued={kind: pruning.rescued(scores[kind]) for kind, pruning in self.prunings.items()},
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
