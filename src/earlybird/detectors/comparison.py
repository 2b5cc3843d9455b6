"""Many detectors over one trajectory, whose masks are computed once for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from earlybird.detectors.detection import Detection, Joint
from earlybird.detectors.draw import Draw, KindDraw
from earlybird.detectors.observe import Observer
from earlybird.detectors.offline import check_length, score_chunks
from earlybird.detectors.pruning import Pruning
from earlybird.detectors.scores import Score
from earlybird.detectors.settings import Choice
from earlybird.errors import InputError
from earlybird.trajectory import Kind, Trajectory


@dataclass(frozen=True)
class Verdict:
    """What one detector says of a trajectory.

    Attributes:
        draw: None where it did not draw.
        settled: the kinds that settled, whether or not all did.
        reason: why there is no draw, in one sentence; empty where there is one.
    """

    draw: Draw | None
    settled: Mapping[Kind, KindDraw]
    reason: str = ""

    def description(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "draw_step": None if self.draw is None else self.draw.step,
            "draw_fraction": None if self.draw is None else self.draw.fraction,
            "statistic": None if self.draw is None else self.draw.statistic,
            "kinds": {kind: asdict(settled) for kind, settled in self.settled.items()},
            "reason": self.reason,
        }


def detect_each(
    trajectory: Trajectory,
    choices: Mapping[str, Choice],
    prunings: Mapping[Kind, Pruning],
    *,
    score: Score = "coefficient",
    joint: Joint = "latched",
) -> dict[str, Verdict]:
    """The verdicts that `earlybird.detect` would give one by one; what cannot work here says why instead.

    Raises:
        InputError: scores that are not recorded, or not finite before every detector has drawn.
    """
    verdicts: dict[str, Verdict] = {}
    detections: dict[str, Detection] = {}
    for name, choice in choices.items():
        try:
            detections[name] = Detection(
                prunings,
                choice,
                total_steps=trajectory.total_steps,
                score=score,
                steps_per_epoch=trajectory.shape.steps_per_epoch,
                joint=joint,
            )
            check_length(trajectory, detections[name])
        except InputError as error:
            detections.pop(name, None)
            verdicts[name] = Verdict(None, {}, str(error))
    observers = {
        kind: Observer(
            kind,
            pruning,
            {criterion for detection in detections.values() for criterion in detection.detectors[kind].criteria},
        )
        for kind, pruning in prunings.items()
    }
    waiting = list(detections.values())
    for scores in score_chunks(trajectory, tuple(prunings), score):
        for observations in zip(*(observers[kind].observations(scores[kind]) for kind in observers), strict=True):
            here = dict(zip(observers, observations, strict=True))
            waiting = [detection for detection in waiting if detection.observe(here) is None]
            if not waiting:
                break
        if not waiting:
            break
    for name, detection in detections.items():
        reason = "" if detection.draw else f"not settled within the {trajectory.steps} recorded steps"
        verdicts[name] = Verdict(detection.draw, detection.settled, reason)
    return {name: verdicts[name] for name in choices}
