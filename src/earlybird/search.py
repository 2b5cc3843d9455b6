"""The search for a ticket, as one object for any training loop: attach, penalise, record, detect."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from earlybird.anatomy import Anatomy
from earlybird.detectors.criterion import CriterionName
from earlybird.detectors.detection import Detection, Joint
from earlybird.detectors.draw import Draw
from earlybird.detectors.offline import detector_choice, prunings_for
from earlybird.detectors.scores import RunningScore, Score, Scores, channels_of
from earlybird.detectors.spans import SpanLike
from earlybird.errors import InputError, JobError
from earlybird.evidence_log import EvidenceLog
from earlybird.groups import Groups
from earlybird.masks import Scope
from earlybird.missing_gradients import MissingGradients
from earlybird.processes import is_first, wait_for_all
from earlybird.search_state import read_search_state, write_search_state
from earlybird.slimming import Place, Slimming
from earlybird.ticket import Ticket
from earlybird.trajectory import Channel, Kind, Shape, Trajectory, TrajectoryWriter, discard
from earlybird.trajectory.files import DESCRIPTION

_CHUNK_BYTES = 1 << 22
# More than a host runs ahead of its device, and fewer than anybody would miss.
_CUDA_DELAY = 4


class Search:
    """Finds a ticket while a model trains.

        search = Search(model, heads=0.3, neurons=0.4, total_steps=steps)
        for batch in batches:
            loss = model(**batch).loss + search.penalty()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if (ticket := search.step()) is not None:
                break
        search.finish()
        earlybird.prune(model, ticket)

    The coefficients belong to the search, not to the model: they have an optimizer of their own (Adam, no
    weight decay) that `step` drives, and take no part in the loop's gradient clipping.

    Args:
        model: on the device where it trains.
        heads: ratio of heads to prune, in [0, 1); None or 0 leaves them alone.
        neurons: ratio of neurons to prune.
        total_steps: planned optimizer steps of the training that is being cut short.
        score: what ranks the units. "coefficient" trains the coefficients under the L1 penalty and takes their
            magnitude; "gradient" and "squared-gradient" leave them at 1 without a penalty, so that training is
            what it would be without a search, and take the mean |gradient| or squared gradient of the loss with
            respect to them.
        detector: a name from `earlybird detectors`, or several put together, see `earlybird.detect`; by default
            `rank-correlation`.
        l1: weight of the L1 penalty on the coefficients.
        l1_neurons: that of the neurons where it differs.
        learning_rate: of the coefficients; the attribute may be set anew at any step to follow a schedule.
        slim: where a head's coefficient acts, "after" or "before" the softmax.
        neuron_slim: where a neuron's acts, "after" or "before" the activation function.
        heads_scope, neurons_scope: where the ratio's threshold is taken, "layer" or "global".
        uniform: keep the same count in every block; of heads the nearest that the model's config admits.
        groups: what is pruned of heads that share keys and values, "whole" groups or equally many heads "within"
            every group; by default whole where there are at least four groups.
        round_to: keep a multiple of so many neurons in every block, for instance 8 or 64 for the hardware's sake.
        anatomy: of the model, where it is not `Anatomy.of(model)`: own patterns, blocks excluded.
        smoothing, window, every, start, lag, criterion, threshold, joint: of the detector, see `earlybird.detect`.
        steps_per_epoch: needed only where spans are given in epochs.
        record: directory to write the trajectory to; by default it is not kept, and the search cannot be resumed. Of
            several processes, all of which have to give it, the first writes.
        overwrite: let the record take the place of a trajectory that is there, once all else is found in order.
        record_gradients: record the coefficients' gradients whatever the score is, to study other scores later.
        delay: steps after which a step is looked at, so that training does not wait for its device; `step` returns the
            ticket so much later, and the draw is the same. By default 4 on a CUDA device, where the host would wait,
            and 0 elsewhere.
        resume: a file written by `save_state`; the trajectory in `record` is cut back to its step.

    Attributes:
        draw: the verdict with its statistics, once there is one.
        ticket: the ticket, once there is one.
        steps: optimizer steps taken; those since the draw are `steps - 1 - draw.step`.
        recorded: whether a record is kept, without which the search cannot be resumed.

    Raises:
        InputError: settings out of bounds, a model without the blocks to prune, a state that does not fit, a
            record that is there already and is not resumed.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        heads: float | None = None,
        neurons: float | None = None,
        total_steps: int,
        score: Score = "coefficient",
        detector: str | None = None,
        l1: float = 1e-4,
        l1_neurons: float | None = None,
        learning_rate: float = 1e-3,
        slim: Place = "after",
        neuron_slim: Place = "after",
        heads_scope: Scope = "layer",
        neurons_scope: Scope = "global",
        uniform: bool = False,
        groups: Groups | None = None,
        anatomy: Anatomy | None = None,
        round_to: int = 1,
        smoothing: SpanLike = None,
        window: SpanLike = None,
        every: SpanLike = None,
        start: SpanLike = None,
        lag: SpanLike = None,
        criterion: CriterionName | None = None,
        threshold: float | None = None,
        joint: Joint = "latched",
        steps_per_epoch: float | None = None,
        record: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        record_gradients: bool = False,
        delay: int | None = None,
        resume: str | os.PathLike[str] | None = None,
    ) -> None:
        if total_steps < 1:
            raise InputError(f"total_steps must be at least 1, got {total_steps}")
        if delay is not None and delay < 0:
            raise InputError(f"delay must be at least 0 steps, got {delay}")
        if resume is not None and record is None:
            raise InputError("resume needs the directory of the trajectory in record: the detector is fed from it")
        fresh = Path(record) if record is not None and resume is None and is_first() else None
        if fresh is not None and not overwrite and _steps_in(fresh):
            raise InputError(
                f"{record} holds a trajectory already: give the search a directory of its own, resume= to go on with"
                " that one, or overwrite=True to lose it"
            )
        channels_of(score)
        self.score: Score = score
        self._channel: Channel = "deviation" if score == "coefficient" else "gradient"
        self._channels: tuple[Channel, ...] = (self._channel,)
        if score == "coefficient" and record_gradients:
            self._channels = ("deviation", "gradient")
        self.anatomy = Anatomy.of(model) if anatomy is None else anatomy
        self.l1: dict[Kind, float] = {"heads": l1, "neurons": l1 if l1_neurons is None else l1_neurons}
        for kind, weight in self.l1.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise InputError(f"the L1 penalty's weight on {kind} must be a number of at least 0, got {weight}")
        self.learning_rate = learning_rate
        self.ticket: Ticket | None = None
        self.draw: Draw | None = None
        self.steps = 0
        self.total_steps = total_steps
        ratios: dict[Kind, float | None] = {"heads": heads, "neurons": neurons}
        for kind, ratio in ratios.items():
            if ratio and kind not in self.anatomy.units:
                raise InputError(self.anatomy.lack_of(kind))
        admitted_heads = self.anatomy.admitted_heads if uniform and heads else None
        prunings = prunings_for(
            self.anatomy.units,
            heads=heads,
            neurons=neurons,
            heads_scope=heads_scope,
            neurons_scope=neurons_scope,
            uniform=uniform,
            key_value_groups=self.anatomy.key_value_groups,
            groups=groups,
            round_to=round_to,
            admitted_heads=admitted_heads,
        )
        choice = detector_choice(
            detector,
            smoothing=smoothing,
            window=window,
            every=every,
            start=start,
            lag=lag,
            criterion=criterion,
            threshold=threshold,
        )
        self.detection = Detection(
            prunings, choice, total_steps=total_steps, score=score, steps_per_epoch=steps_per_epoch, joint=joint
        )
        self._running = {kind: RunningScore(score, self._channel) for kind in prunings}
        self._newest: dict[Kind, Scores] = {}
        self.slimming = Slimming(model, self.anatomy, kinds=tuple(prunings), slim=slim, neuron_slim=neuron_slim)
        self._missing_gradients = MissingGradients(self.slimming, self.anatomy.names)
        parameters = [deviations.values for deviations in self.slimming.deviations.values()]
        self._optimizer = torch.optim.Adam(parameters, lr=learning_rate)
        if delay is None:
            delay = _CUDA_DELAY if parameters[0].is_cuda else 0
        self._delay = delay
        shape = Shape(
            {kind: pruning.units for kind, pruning in prunings.items()},
            self._channels,
            total_steps,
            steps_per_epoch,
            self.anatomy.fingerprint,
            self.anatomy.key_value_groups if "heads" in prunings else None,
            admitted_heads,
        )
        try:
            newest = None
            if resume is not None:
                self.steps, newest = read_search_state(
                    Path(resume),
                    self.slimming.deviations,
                    self._optimizer,
                    model=self.anatomy.fingerprint,
                    trained=self.score == "coefficient",
                )
                if self.steps > total_steps:
                    raise InputError(
                        f"the search to resume has taken {self.steps} steps, more than {total_steps} planned"
                    )
            writer = None
            if record is not None and is_first():
                step_bytes = 4 * len(self._channels) * sum(v.values.numel() for v in self.slimming.deviations.values())
                chunk = min(max(1, total_steps // 100), max(1, _CHUNK_BYTES // step_bytes))
                if fresh is not None:
                    discard(fresh)
                writer = TrajectoryWriter(
                    Path(record), shape, chunk_steps=chunk, keep_steps=self.steps, keep_checksum=newest
                )
            self._log = EvidenceLog(self.steps, writer)
            self.recorded = record is not None
            if record is not None and self.steps:
                wait_for_all()  # the first cuts off what was recorded after the resumed step
                self._replay(Path(record))
        except BaseException:
            # Nobody holds a search that could take the coefficients off again.
            self.slimming.detach()
            raise

    def penalty(self) -> Tensor:
        """The L1 penalty to add to the task's loss, a scalar on the model's device; 0 for a gradient score."""
        if self.score != "coefficient":
            return torch.zeros((), device=next(iter(self.slimming.deviations.values())).values.device)
        return self.slimming.penalty(self.l1["heads"], self.l1["neurons"])

    def apply_penalty(self) -> None:
        """Add the penalty's gradient to the coefficients, instead of `penalty()` to a loss that is out of reach.

        Once per optimizer step, after the backward passes and before `step`.
        """
        if self.score != "coefficient":
            return
        for kind, deviations in self.slimming.deviations.items():
            deviations.add_penalty_gradient(self.l1[kind])

    def step(self) -> Ticket | None:
        """Train the coefficients one step and look at them; call it once after every optimizer step.

        Returns:
            None until the masks have settled, from then on the ticket.

        Raises:
            InputError: no gradient of the loss has reached the coefficients, or those of a block, since the first step;
                their gradients were replaced (`backward(create_graph=True)`); the coefficients were taken off.
            JobError: a coefficient is not finite any more (the loss diverged); the record ends before it. It is
                noticed as late as a draw.
            OSError: the record cannot be written; the steps that it lacks are kept, so that one may go on.
        """
        if not self.slimming.attached:
            raise InputError("the search is over, its coefficients are off the model: make a new one to search again")
        for deviations in self.slimming.deviations.values():
            deviations.check_gradients()
        self.slimming.average_gradients()
        self._missing_gradients.look()
        evidence: dict[tuple[Kind, Channel], Tensor] = {}
        if "gradient" in self._channels:
            for kind, deviations in self.slimming.deviations.items():
                evidence[kind, "gradient"] = deviations.task_gradient.abs()
        if self.score == "coefficient":
            for deviations in self.slimming.deviations.values():
                deviations.penalty_gradient.add_(deviations.task_gradient)
            self._optimizer.param_groups[0]["lr"] = self.learning_rate
            self._optimizer.step()
            for kind, deviations in self.slimming.deviations.items():
                evidence[kind, "deviation"] = deviations.values
        self._log.send(evidence)
        for deviations in self.slimming.deviations.values():
            deviations.gradients.zero_()
        self.steps += 1
        self._look(self._delay if self.steps < self.total_steps else 0)
        return self.ticket

    def masks(self) -> dict[Kind, NDArray[np.bool_]]:
        """The masks that the newest scores imply, (layers, units) per kind; {} before the first step."""
        return {kind: self.detection.prunings[kind].masks(scores.at(0)) for kind, scores in self._newest.items()}

    def draw_now(self) -> Ticket:
        """A ticket at the newest step although the masks have not settled; the one drawn, if they have.

        Raises:
            InputError: no step was observed yet.
            JobError: see `step`.
        """
        if self.steps == 0:
            raise InputError("no step was observed yet, so there is nothing to draw from")
        self._look(0)
        if self.ticket is not None:
            return self.ticket
        self.draw = self.detection.draw_now({kind: scores.at(0) for kind, scores in self._newest.items()}, "end")
        self.ticket = Ticket.drawn(self.anatomy, self.draw)
        return self.ticket

    def finish(self) -> None:
        """Close the record, fold the coefficients into the weights and take them off the model.

        The model's outputs stay the same; it can be pruned and trained on. Beside LoRA the base weights change, too.
        The last steps may bring a ticket still, see `close`.

        Raises:
            InputError: a projection with coefficients was replaced, by merging an adapter for instance.
            JobError: see `step`; the coefficients are still on the model then, to be taken off by `detach`.
        """
        self.close()
        self.slimming.fold()

    def detach(self) -> None:
        """Take the coefficients off the model without folding them, and close the record."""
        self.slimming.detach()
        # This is how a training is given up, whose own error must not be hidden by that of steps not looked at yet.
        with contextlib.suppress(JobError, OSError, RuntimeError):
            self.close()

    def flush(self) -> None:
        """Write all steps taken to the record.

        Raises:
            JobError: see `step`.
        """
        self._log.flush()

    def close(self) -> None:
        """Look at all steps taken, and close the record; further steps are not recorded.

        Raises:
            JobError: see `step`; the record is closed all the same.
        """
        try:
            self._look(0)
        finally:
            self._log.close()

    def save_state(self, path: str | os.PathLike[str]) -> None:
        """Write coefficients, their optimizer state and the step as safetensors, in one move.

        The record is flushed first, so that it covers the state. Of several processes all have to call, only the first
        writes.

        Raises:
            InputError: the search keeps no record, which it would have to be resumed with, or has closed it.
            JobError: see `step`.
        """
        if not self.recorded:
            raise InputError(
                "the detector of a resumed search has to see again what it saw before: give the search a directory to"
                " record in"
            )
        # In every process: what is found to have diverged ends all of them.
        self.flush()
        if not is_first():
            return
        write_search_state(
            Path(path),
            self.slimming.deviations,
            self._optimizer,
            steps=self.steps,
            model=self.anatomy.fingerprint,
            record=self._log.newest_checksum(),
        )

    def _replay(self, record: Path) -> None:
        """Feed the detector what was recorded before the resumed step."""
        trajectory = Trajectory.open(record)
        seen, size = max(0, self.steps - self._delay), 64
        for start in range(0, seen, size):
            steps = slice(start, min(start + size, seen))
            # Copied, because the newest scores outlive the mapping, and another search may cut the file.
            self._observe(
                {kind: np.array(trajectory.evidence(kind, self._channel)[steps]) for kind in self.detection.prunings}
            )
        for step in range(seen, self.steps):
            self._log.put_back(
                {
                    (kind, self._channel): np.array(trajectory.evidence(kind, self._channel)[step])
                    for kind in trajectory.kinds
                }
            )

    def _look(self, delay: int) -> None:
        """Look at all steps but the newest `delay`."""
        while len(self._log) > delay:
            evidence = self._log.take()
            self._observe({kind: evidence[kind, self._channel][None] for kind in self.slimming.deviations})

    def _observe(self, evidence: Mapping[Kind, NDArray[np.float32]]) -> None:
        """Take the evidence of the next steps, (steps, layers, units) per kind."""
        if self.draw is not None:
            return
        scores = {kind: running.update(evidence[kind]) for kind, running in self._running.items()}
        self._newest = {kind: values.part(slice(-1, None)) for kind, values in scores.items()}
        self.draw = self.detection.update(scores)
        if self.draw is not None:
            self.ticket = Ticket.drawn(self.anatomy, self.draw)


def _steps_in(record: Path) -> int:
    """Steps recorded in a directory, 0 where there is no trajectory."""
    return Trajectory.open(record).steps if (record / DESCRIPTION).exists() else 0
