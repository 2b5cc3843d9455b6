"""Many detectors over one trajectory, whose masks are computed once for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from earlybird.config import SearchConfig
from earlybird.detectors.defaults import scored_by
from earlybird.detectors.detection import Detection
from earlybird.detectors.draw import Draw, KindDraw
from earlybird.detectors.factory import restricted
from earlybird.detectors.observer import Observer
from earlybird.detectors.offline import check_length, detection_of, score_chunks
from earlybird.detectors.presets import DETECTORS
from earlybird.detectors.streams import Streams
from earlybird.errors import InputError
from earlybird.masks import UnitCosts
from earlybird.trajectory import Trajectory
from earlybird.vocabulary import Kind


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
    trajectory: Trajectory, configs: Mapping[str, SearchConfig], costs: UnitCosts | None = None
) -> dict[str, Verdict]:
    """The verdicts that `earlybird.detect` would give one by one; what cannot work here says why instead.

    Args:
        trajectory: the recording.
        configs: by names that the verdicts get; they prune alike, by one score, that of the first, and differ in the
            detector.
        costs: of the units, where there is a budget and the recording does not tell them.

    Raises:
        InputError: scores that are not recorded, or not finite before every detector has drawn.
    """
    any_config = next(iter(configs.values()))
    score = scored_by(any_config, trajectory.shape.channels)
    verdicts: dict[str, Verdict] = {}
    detections: dict[str, Detection] = {}
    for name, config in configs.items():
        try:
            detections[name] = detection_of(trajectory, replace(config, score=score), costs)
            check_length(trajectory, detections[name])
        except InputError as error:
            detections.pop(name, None)
            verdicts[name] = Verdict(None, {}, str(error))
    streams = Streams(any_config, trajectory.shape, costs)
    observers = {
        stream: Observer(
            stream,
            rule,
            {criterion for detection in detections.values() for criterion in detection.detectors[stream].criteria},
        )
        for stream, rule in streams.rules.items()
    }
    waiting = list(detections.values())
    for scores in score_chunks(trajectory, tuple(streams.kinds), score):
        here_scores = streams.scores(scores)
        seen = (observer.observations(here_scores[stream]) for stream, observer in observers.items())
        for observations in zip(*seen, strict=True):
            here = dict(zip(observers, observations, strict=True))
            waiting = [detection for detection in waiting if detection.observe(here) is None]
            if not waiting:
                break
        if not waiting:
            break
    for name, detection in detections.items():
        reason = "" if detection.draw else f"not settled within the {trajectory.steps} recorded steps"
        verdicts[name] = Verdict(detection.draw, detection.settled, reason)
    return {name: verdicts[name] for name in configs}


def every_detector(config: SearchConfig) -> dict[str, SearchConfig]:
    """A config for every detector by name, with what is set in `config` where the detector has that setting.

    Raises:
        InputError: a threshold is set, which detectors compare with different things.
    """
    if config.threshold is not None:
        raise InputError("threshold cannot be set for all detectors at once: they compare different things")
    return {name: replace(restricted(config, DETECTORS[name]), detector=name) for name in DETECTORS}
