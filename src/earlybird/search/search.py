"""The search for a ticket, as one object for any training loop: attach, penalise, record, detect."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from earlybird.anatomy import Anatomy
from earlybird.anatomy.agreement import refuse_disagreement, together
from earlybird.anatomy.distributed import is_first
from earlybird.config import SearchConfig, check_search_config
from earlybird.detectors.defaults import with_amount, with_defaults
from earlybird.detectors.detection import Detection
from earlybird.detectors.draw import Draw
from earlybird.detectors.scores import RunningScore, Scores
from earlybird.errors import InputError, JobError
from earlybird.latency import unit_costs
from earlybird.masks import UnitCosts
from earlybird.search.evidence_log import EvidenceLog
from earlybird.search.loss_scale import LossScale
from earlybird.search.missing_gradients import MissingGradients
from earlybird.search.recording import Recording, shape_of_record
from earlybird.search.same_in_all_processes import refuse_another_search
from earlybird.search.state import read_search_state, write_search_state
from earlybird.slimming.slimming import Slimming
from earlybird.spans import check_run_length
from earlybird.ticket import Ticket
from earlybird.trajectory import Trajectory, TrajectoryWriter
from earlybird.vocabulary import KINDS, WEIGHED_KINDS, Channel, Kind, Place

_log = logging.getLogger(__name__)

_LEARNING_RATE = 1e-3
# More than a host runs ahead of its device, and fewer than anybody would miss.
_CUDA_DELAY = 4


class Search:
    """Finds a ticket while a model trains.

        search = Search(model, SearchConfig(heads=0.3, neurons=0.4), total_steps=steps)
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
        config: what is pruned, when the masks count as settled, how the coefficients are trained. With the score
            "coefficient" these are trained under the L1 penalty; "gradient" and "squared-gradient" leave them at 1
            without a penalty, so that training is what it would be without a search.
        total_steps: planned optimizer steps of the training that is being cut short.
        steps_per_epoch: needed only where spans are given in epochs.
        anatomy: of the model, where it is not `Anatomy.of(model)`: own patterns.
        recording: where the trajectory is written; by default it is not kept, and the search cannot be resumed.
        delay: steps after which a step is looked at, so that training does not wait for its device; `step` returns the
            ticket so much later, and the draw is the same. By default 4 on a CUDA device, where the host would wait,
            and 0 elsewhere.
        scaler: of a loss in float16; for scores by gradients. Call its `update()` before `step`: the gradients are
            divided by the scale, and a step that the scaler has skipped is no evidence, and does not count.

    Attributes:
        draw: the verdict with its statistics, once there is one.
        ticket: the ticket, once there is one.
        steps: optimizer steps taken, without those that a scaler has skipped; those since the draw are
            `steps - 1 - draw.step`.
        learning_rate: of the coefficients; may be set anew at any step to follow a schedule.
        recorded: whether a record is kept, without which the search cannot be resumed.
        scaled: whether it follows a scaler that is switched on.

    Raises:
        InputError: settings out of bounds, a model without the blocks to prune, a state that does not fit, a
            record that is there already and is not resumed.
    """

    def __init__(
        self,
        model: nn.Module,
        config: SearchConfig,
        *,
        total_steps: int,
        steps_per_epoch: float | None = None,
        anatomy: Anatomy | None = None,
        recording: Recording | None = None,
        delay: int | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        def checked() -> tuple[Anatomy, SearchConfig]:
            check_search_config(config)
            check_run_length(total_steps, steps_per_epoch)
            if delay is not None and delay < 0:
                raise InputError(f"delay must be at least 0 steps, got {delay}")
            searched = (Anatomy.of(model) if anatomy is None else anatomy).excluding(config.exclude)
            if not searched.units:
                raise InputError(f"{searched.model} has no units left to search")
            whole = with_defaults(with_amount(config, searched))
            for kind in KINDS:
                if getattr(whole, kind) and kind not in searched.units:
                    raise InputError(f"{searched.lack_of(kind)}: give a ratio for the other kinds alone")
            return searched, whole

        self.anatomy, self.config = together(checked)
        config = self.config
        refuse_another_search(config, self.anatomy, total_steps, steps_per_epoch, recording)
        together(recording.refuse_to_replace if recording is not None and is_first() else lambda: None)
        self.learning_rate = _LEARNING_RATE if config.learning_rate is None else config.learning_rate
        self.ticket: Ticket | None = None
        self.draw: Draw | None = None
        self.steps = 0
        self.total_steps = total_steps
        self.recorded = recording is not None
        self.scaled = scaler is not None and scaler.is_enabled()
        self.detection = Detection(
            config,
            self.anatomy,
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
            costs=None if config.budget is None else unit_costs(model, self.anatomy, config),
        )
        kinds = self.detection.kinds
        self._trained = self.detection.score == "coefficient"
        if self._trained and self.scaled:
            raise InputError(
                "coefficients are trained under a penalty, whose gradient a loss that is scaled for float16 may hold or"
                ' not: with a scaler give score="squared-gradient" or "gradient", or use bfloat16'
            )
        self._loss_scale = None if scaler is None else LossScale(scaler)
        self._channel: Channel = "deviation" if self._trained else "gradient"
        also_gradients = self._trained and recording is not None and recording.gradients
        self._channels: tuple[Channel, ...] = ("deviation", "gradient") if also_gradients else (self._channel,)
        self._running = {kind: RunningScore(self.detection.score, self._channel) for kind in kinds}
        self._newest: dict[Kind, Scores] = {}
        places: dict[Kind, Place] = {"heads": config.slim, "neurons": config.neuron_slim}
        self._l1: dict[Kind, float] = {kind: getattr(config, f"l1_{kind}") for kind in KINDS}
        # Before there are coefficients on the model, which does not run on shapes alone with them.
        costs = None if recording is None else self._costs()
        self.slimming = Slimming(
            model, self.anatomy, kinds=kinds, places=places, fixed=not self._trained, float16=scaler is not None
        )
        self._missing_gradients = MissingGradients(self.slimming, self.anatomy.names)
        parameters = [coefficients.values for coefficients in self.slimming.coefficients.values()]
        self._optimizer = torch.optim.Adam(parameters, lr=self.learning_rate)
        self._delay = delay if delay is not None else _CUDA_DELAY if parameters[0].is_cuda else 0
        try:
            self._log = EvidenceLog(together(lambda: self._begin_recording(recording, steps_per_epoch, costs)))
            refuse_disagreement({"the step to go on from": str(self.steps)})
            if recording is not None and self.steps:
                # By now the first has cut off what was recorded after the resumed step.
                together(lambda: self._replay(recording.path))
        except BaseException:
            # Nobody holds a search that could take the coefficients off again.
            self.slimming.detach()
            raise

    def penalty(self) -> Tensor:
        """The L1 penalty to add to the task's loss, a scalar on the model's device; 0 for a gradient score."""
        if not self._trained:
            return torch.zeros((), device=next(iter(self.slimming.coefficients.values())).values.device)
        return self.slimming.penalty(self._l1)

    def apply_penalty(self) -> None:
        """Add the penalty's gradient to the coefficients, instead of `penalty()` to a loss that is out of reach.

        Once per optimizer step, after the backward passes and before `step`.
        """
        if not self._trained:
            return
        for kind, coefficients in self.slimming.coefficients.items():
            coefficients.add_penalty_gradient(self._l1[kind])

    def step(self) -> Ticket | None:
        """Train the coefficients one step and look at them; call it once after every optimizer step.

        Returns:
            None until the masks have settled, from then on the ticket.

        Raises:
            InputError: no gradient of the loss has reached the coefficients, or those of a block, since the first step;
                their gradients were replaced (`backward(create_graph=True)`); the coefficients were taken off; the
                scaler skips every step.
            JobError: a coefficient is not finite any more (the loss diverged); the record ends before it. It is
                noticed as late as a draw.
            OSError: the record cannot be written; the steps that it lacks are kept, so that one may go on.
        """
        if not self.slimming.attached:
            raise InputError("the search is over, its coefficients are off the model: make a new one to search again")
        if self.steps == self.total_steps and is_first():
            _log.warning(
                "the search was planned for total_steps=%d and is taken further: its fractions of the run were of fewer"
                " steps than the run has",
                self.total_steps,
            )
        if self._loss_scale is not None:
            scale = self._loss_scale.of_step()
            if scale is None:
                self.discard_gradients()
                return self.ticket
            self.slimming.unscale_gradients(scale)
        for coefficients in self.slimming.coefficients.values():
            coefficients.check_gradients()
        self.slimming.follow_weights()
        self.slimming.average_gradients()
        self._missing_gradients.look()
        evidence: dict[tuple[Kind, Channel], Tensor] = {}
        if "gradient" in self._channels:
            for kind, coefficients in self.slimming.coefficients.items():
                evidence[kind, "gradient"] = coefficients.task_gradient.abs()
        if self._trained:
            for coefficients in self.slimming.coefficients.values():
                coefficients.penalty_gradient.add_(coefficients.task_gradient)
            self._optimizer.param_groups[0]["lr"] = self.learning_rate
            self._optimizer.step()
            for kind, coefficients in self.slimming.coefficients.items():
                evidence[kind, "deviation"] = coefficients.values
        self._log.send(self.steps, evidence)
        self.discard_gradients()
        self.steps += 1
        self._look(self._delay if self.steps < self.total_steps else 0)
        return self.ticket

    def discard_gradients(self) -> None:
        """Forget the gradients since the last step: those of trial passes that no step of the training follows."""
        self.slimming.discard_gradients()

    def masks(self) -> dict[Kind, NDArray[np.bool_]]:
        """The masks that the newest scores imply, (layers, units) per kind; {} before the first step."""
        return (
            self.detection.masks({kind: scores.at(0) for kind, scores in self._newest.items()}) if self._newest else {}
        )

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
        newest = {kind: scores.at(0) for kind, scores in self._newest.items()}
        # Not the newest step taken, if that has diverged.
        step = next(iter(self._newest.values())).first
        self.draw = self.detection.draw_at(step, newest, "end")
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
            self.slimming.coefficients,
            self._optimizer,
            steps=self.steps,
            model=self.anatomy.fingerprint,
            record=self._log.newest_checksum(),
        )

    def _begin_recording(
        self, recording: Recording | None, steps_per_epoch: float | None, costs: UnitCosts | None
    ) -> TrajectoryWriter | None:
        """Take up the state to go on from, and the record; of several processes the first writes."""
        if recording is None:
            return None
        newest = None
        if recording.resume is not None:
            self.steps, newest = read_search_state(
                Path(recording.resume),
                self.slimming.coefficients,
                self._optimizer,
                model=self.anatomy.fingerprint,
                trained=self._trained,
            )
            if self.steps > self.total_steps:
                raise InputError(
                    f"the search to resume has taken {self.steps} steps, more than {self.total_steps} planned"
                )
        if not is_first():
            return None
        shape = shape_of_record(
            self.detection.streams,
            costs,
            self._channels,
            self.total_steps,
            steps_per_epoch,
            self.anatomy.fingerprint,
        )
        return recording.writer(shape, keep_steps=self.steps, keep_checksum=newest)

    def _costs(self) -> UnitCosts | None:
        """What the units cost: of a record of gradients, which tickets can be drawn from at any budget."""
        budget = self.detection.streams.budget
        if budget is not None:
            return budget.costs
        if "gradient" not in self._channels or set(self.detection.kinds) != set(WEIGHED_KINDS) & set(
            self.anatomy.units
        ):
            return None
        # A model whose FLOPs cannot be counted is searched all the same.
        with contextlib.suppress(InputError):
            return self.anatomy.unit_costs("flops", self.config.tokens)
        return None

    def _replay(self, record: Path) -> None:
        """Feed the detector what was recorded before the resumed step."""
        trajectory = Trajectory.open(record)
        seen, size = max(0, self.steps - self._delay), 64
        for start in range(0, seen, size):
            steps = slice(start, min(start + size, seen))
            # Copied, because the newest scores outlive the mapping, and another search may cut the file.
            self._observe(
                {kind: np.array(trajectory.evidence(kind, self._channel)[steps]) for kind in self.detection.kinds}
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
            self._observe({kind: evidence[kind, self._channel][None] for kind in self.slimming.coefficients})

    def _observe(self, evidence: Mapping[Kind, NDArray[np.float32]]) -> None:
        """Take the evidence of the next steps, (steps, layers, units) per kind."""
        if self.draw is not None:
            return
        scores = {kind: running.update(evidence[kind]) for kind, running in self._running.items()}
        self._newest = {kind: values.part(slice(-1, None)) for kind, values in scores.items()}
        self.draw = self.detection.update(scores)
        if self.draw is not None:
            self.ticket = Ticket.drawn(self.anatomy, self.draw)
