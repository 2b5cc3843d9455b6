"""A search inside a Lightning Trainer."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earlybird.config import SearchConfig
from earlybird.detectors.defaults import scored_by
from earlybird.errors import InputError, JobError
from earlybird.integrations.driver import SearchDriver, check_then
from earlybird.integrations.kept_batches import Call
from earlybird.integrations.pruned_model import PrunedModel
from earlybird.search.recording import Recording
from earlybird.search.search import Search
from earlybird.ticket import Ticket
from earlybird.vocabulary import AtDraw

try:
    from lightning.pytorch import Callback, LightningModule, Trainer, callbacks
    from lightning.pytorch.strategies import DeepSpeedStrategy
    from lightning.pytorch.trainer.states import TrainerFn
except ImportError as error:
    raise InputError("the Lightning callback needs lightning: pip install 'earlybird[lightning]'") from error


# In the callback's part of a checkpoint.
_BEGUN, _SEARCH, _STEP = "begun", "search", "global_step"
_FILE = "search.safetensors"

_AVERAGES = tuple(
    getattr(callbacks, name) for name in ("StochasticWeightAveraging", "WeightAveraging") if hasattr(callbacks, name)
)


class EarlyBirdCallback(Callback):
    """Searches while a Lightning Trainer fits; the module's training step stays as it is.

        callback = EarlyBirdCallback("model", SearchConfig(heads=0.3, neurons=0.4), draw_at_end=True)
        Trainer(max_steps=1000, callbacks=[callback]).fit(module, batches)  # ends at the draw
        earlybird.prune(module.model, callback.ticket)

    For automatic optimization with one optimizer, in 32 bits, bf16 or, by gradients, 16-mixed. Each fit is a search of
    its own; but a model that "continue" has pruned trains on in further fits, without a search, and the ticket stays.
    With `record`, Lightning's checkpoints hold the search, and a fit that goes on from one (`ckpt_path`) goes on with
    its search. What was saved after the draw of "continue" holds the pruned model, which a module with the whole one
    cannot load. Several processes train by DDP, and all cut the same ticket at the same step. What Lightning's
    tuners (`BatchSizeFinder`, `LearningRateFinder`, `Tuner`) try is no part of the search, which begins after them. The
    module logs what `earlybird.integrations.metrics.SearchCurves` reads, every `log_every_n_steps`, and at a draw that
    stops.

    Args:
        attribute: name of the module's attribute that holds the Transformer.
        config: as of `earlybird.Search`, but that "continue" by coefficients draws at a fifth of the training by
            default (`fixed-time`), and that the coefficients train at the weights' rate by default; theirs follows the
            schedule of the weights'.
        then: at the draw, "stop" the fit, or prune the model in place and "continue" with the small network, the
            optimizer's state sliced along.
        draw_at_end: if nothing has settled by the end of the fit, draw there all the same; otherwise a warning in the
            log says that nothing was pruned, and the ticket is None.
        record: directory to write the trajectory to, in the place of that of an earlier fit. By default it is not kept,
            and a fit cannot go on from a checkpoint.

    Attributes:
        ticket: of the newest fit that trained, once it is drawn.
        batches: with `compensation` in the config and then="stop", the newest of the fit, for
            `prune(compensate=callback.batches)`.
        search: of the fit under way; None before and after.

    Raises:
        InputError: when the fit starts: no such attribute, no planned number of steps, more than one optimizer,
            16-mixed precision with trained coefficients; DeepSpeed; "continue" in several processes without DDP, or
            with an optimizer that cannot be taken along (Adafactor, LBFGS; one whose state shows only in training is
            refused at the first step); a callback averages weights (`StochasticWeightAveraging`, `WeightAveraging`),
            with "continue" or trained coefficients; it goes on from a checkpoint that holds no search, or without
            `record`, or with a tuner, which puts the training back.
    """

    def __init__(
        self,
        attribute: str,
        config: SearchConfig,
        *,
        then: AtDraw = "stop",
        draw_at_end: bool = False,
        record: str | os.PathLike[str] | None = None,
    ) -> None:
        check_then(then)
        self.attribute, self.config, self.then = attribute, config, then
        self.draw_at_end = draw_at_end
        self.record = None if record is None else Path(record)
        self.ticket: Ticket | None = None
        self.batches: Sequence[Call] = ()
        self._driver: SearchDriver | None = None
        self._pruned = PrunedModel()
        self._begun = False
        self._steps = 0
        # The search that the fit goes on with, and its step.
        self._resumed: tuple[bytes, int] | None = None
        # What a checkpoint is given that is written because of an exception, when the search is off the model.
        self._left: dict[str, Any] = {}

    @property
    def search(self) -> Search | None:
        """Of the fit under way."""
        return None if self._driver is None else self._driver.search

    @property
    def state_key(self) -> str:
        """In a checkpoint: of each of a module's models its own."""
        return self._generate_state_key(attribute=self.attribute)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget what an earlier fit has left, before a checkpoint is loaded."""
        self._resumed, self._left = None, {}
        if stage == "fit":
            self._begun = False

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take the search that the fit goes on with out of its checkpoint; a tuner's own checkpoint changes nothing."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        if self._driver is not None:
            # A tuner that has tried in the middle of the fit; the search is where it was.
            self._driver.search.discard_gradients()
            return
        state = checkpoint.get("callbacks", {}).get(self.state_key, {})
        if not state.get(_BEGUN, True):
            return
        if _SEARCH not in state and self._pruned.is_in(getattr(pl_module, self.attribute, None)):
            return
        if self.record is None:
            raise InputError(
                "the fit goes on from a checkpoint, but the detector has to see again what it saw before: give the"
                " callback the record= of the fit that goes on, or fit without ckpt_path, so that both begin anew"
            )
        if _SEARCH not in state:
            raise InputError(
                "the fit goes on from a checkpoint that holds no search, which is saved with record= and until its"
                " draw: fit without ckpt_path, so that both begin anew, or without this callback"
            )
        if state[_STEP] != checkpoint["global_step"]:
            raise InputError(
                f"the fit goes on from a checkpoint of step {checkpoint['global_step']} that was saved when the search"
                f" had come to step {state[_STEP]}: a callback that saves has to stand after this one, and what an"
                " error left in the middle of a step cannot be gone on with"
            )
        self._resumed = state[_SEARCH].numpy().tobytes(), state[_STEP]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of the search: the file of `Search.save_state`, as bytes, and the fit's step.

        Before the search has begun, that it has not.
        """
        if not self._begun:
            return {_BEGUN: False}
        if self._driver is None or self.record is None:
            return self._left
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / _FILE
            self._driver.search.save_state(path)
            # Of several processes only the first writes, and only its checkpoint is kept.
            if not path.exists():
                return {}
            return {_SEARCH: torch.from_numpy(np.fromfile(path, dtype=np.uint8)), _STEP: self._steps}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Attach the coefficients to the model: any checkpoint is loaded by now."""
        model = getattr(pl_module, self.attribute, None)
        if model is None:
            raise InputError(
                f"{type(pl_module).__name__} has no attribute {self.attribute!r} that holds the Transformer"
            )
        self._begun = True
        if self._pruned.trains_on(model, self.ticket):
            return
        if isinstance(trainer.strategy, DeepSpeedStrategy):
            raise InputError(
                "DeepSpeed keeps gradients and parameters where a search cannot read them: search with"
                ' strategy="ddp", prune, and train the small network with DeepSpeed'
            )
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if trainer.precision == "16-mixed" and scaler is None:
            raise InputError(
                f"{type(trainer.precision_plugin).__name__} has no gradient scaler that the search could follow in"
                ' 16-mixed: use precision="bf16-mixed"'
            )
        if len(trainer.optimizers) != 1:
            raise InputError(f"the search follows one optimizer, the module has {len(trainer.optimizers)}")
        self._refuse_averages(trainer)
        total = trainer.estimated_stepping_batches
        if total == float("inf"):
            raise InputError("the search needs a planned length: give the Trainer max_steps or max_epochs")
        self._steps = trainer.global_step
        resumed, self._resumed = self._resumed, None
        if resumed is not None and resumed[1] != self._steps:
            raise InputError(
                f"the fit goes on from a checkpoint of step {resumed[1]}, but a tuner has put the training back to step"
                f" {self._steps}: tune first, in a fit without ckpt_path, and go on without the tuner"
            )
        self.ticket = None
        with tempfile.TemporaryDirectory() as directory:
            state = None
            if resumed is not None:
                state = Path(directory) / _FILE
                state.write_bytes(resumed[0])
            self._driver = SearchDriver.begin(
                model,
                trainer.optimizers[0],
                self.config,
                total_steps=int(total),
                steps_per_epoch=_steps_per_epoch(trainer),
                then=self.then,
                draw_at_end=self.draw_at_end,
                recording=None if self.record is None else Recording(self.record, resume=state, overwrite=True),
                wrapper=trainer.strategy.model,
                scaler=scaler,
            )

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Give the coefficients this step's rate and penalty."""
        if self._driver is not None:
            self._driver.before_step(optimizer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Observe the step, if the optimizer made one; at the draw, stop or prune."""
        driver, step = self._driver, trainer.global_step
        if driver is None or step == self._steps:
            return
        driver.after_step(
            getattr(pl_module, self.attribute), trainer.optimizers[0], last=step >= driver.search.total_steps
        )
        self._steps = step
        self._take_note(driver, pl_module)
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        # When Lightning logs, and at a draw that stops the fit, because that makes it log.
        if self.ticket is not None or (every and step % every == 0):
            for name, value in driver.metrics().items():
                pl_module.log(name, value)
        if self.ticket is None:
            return
        self._end(trainer, pl_module)
        if self.then == "stop":
            trainer.should_stop = True

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take the coefficients off again, without folding them."""
        try:
            if not isinstance(exception, JobError):
                with contextlib.suppress(Exception):  # the fit's own error is the one to be seen
                    self._left = self.state_dict()
        finally:
            self._abandon()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fold the coefficients into the weights; a ticket drawn in the newest steps is seen only now."""
        self._end(trainer, pl_module)  # when the fit ends, the module has left its device

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the coefficients off after a fit that had no step to take."""
        self._abandon()

    def _refuse_averages(self, trainer: Trainer) -> None:
        """Raise InputError for a callback whose average of the weights would not be the model's any more."""
        own: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        for name in (type(callback).__name__ for callback in own if isinstance(callback, _AVERAGES)):
            if self.then == "continue":
                raise InputError(
                    f'{name} averages into a copy of the model, which then="continue" cannot prune along: use'
                    ' then="stop", prune, and average in a fit of the small model'
                )
            if scored_by(self.config) == "coefficient":
                raise InputError(
                    f"{name} averages the weights without the coefficients that train beside them: give"
                    ' score="squared-gradient" or "gradient"'
                )

    def _abandon(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.abandon()

    def _end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._driver is None:
            return
        self._driver.end(getattr(pl_module, self.attribute), trainer.optimizers[0])
        self._take_note(self._driver, pl_module)
        self._driver = None

    def _take_note(self, driver: SearchDriver, pl_module: LightningModule) -> None:
        self.ticket = driver.ticket
        self.batches = () if driver.ticket is None or driver.pruned else driver.batches
        if driver.pruned:
            self._pruned.remember(getattr(pl_module, self.attribute))


def _steps_per_epoch(trainer: Trainer) -> int | None:
    """Optimizer steps of an epoch; None where Lightning does not know how many batches come."""
    batches = trainer.num_training_batches
    return math.ceil(batches / trainer.accumulate_grad_batches) if math.isfinite(batches) else None
