"""A search inside a Lightning Trainer."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earlybird.detectors.scores import Score
from earlybird.errors import InputError, JobError
from earlybird.integrations.continuing import detector_to_continue, refuse_unsliceable
from earlybird.masks import Scope
from earlybird.search import Search
from earlybird.surgery import prune
from earlybird.ticket import Ticket

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
    from lightning.pytorch.trainer.states import TrainerFn
except ImportError as error:
    raise InputError("the Lightning callback needs lightning: pip install 'earlybird[lightning]'") from error


# In the callback's part of a checkpoint.
_SEARCH, _STEP = "search", "global_step"
_FILE = "search.safetensors"


class EarlyBirdCallback(Callback):
    """Searches while a Lightning Trainer fits; the module's training step stays as it is.

        callback = EarlyBirdCallback("model", heads=0.3, neurons=0.4)
        Trainer(max_steps=1000, callbacks=[callback]).fit(module, batches)  # ends at the draw
        earlybird.prune(module.model, callback.ticket)

    For automatic optimization with one optimizer, in 32 bits or bf16. Each fit is a search of its own; with `record`,
    Lightning's checkpoints hold it, and a fit that goes on from one (`ckpt_path`) goes on with its search. What was
    saved after the draw of "continue" holds the pruned model, which a module with the whole one cannot load.

    Args:
        attribute: name of the module's attribute that holds the Transformer.
        heads, neurons: ratios to prune, in [0, 1).
        then: at the draw, "stop" the fit, or prune in place and "continue" with the small network.
        score, l1, heads_scope, neurons_scope, threshold: as in `earlybird.Search`.
        detector: as there, but that "continue" draws at a fifth of the training by default (`fixed-time`).
        learning_rate: of the coefficients, by default that of the weights; it follows the weights' schedule.
        record: directory to write the trajectory to, in the place of that of an earlier fit. By default it is not kept,
            and a fit cannot go on from a checkpoint.

    Attributes:
        ticket: of the newest fit, once it is drawn.

    Raises:
        InputError: when the fit starts: no such attribute, no planned number of steps, more than one optimizer,
            16-mixed precision, or "continue" with more than one process; it goes on from a checkpoint that holds no
            search, or without `record`. At the first step: "continue" with an optimizer whose state cannot be sliced
            (Adafactor).
    """

    def __init__(
        self,
        attribute: str,
        *,
        heads: float | None = None,
        neurons: float | None = None,
        then: str = "stop",
        score: Score = "coefficient",
        detector: str | None = None,
        l1: float = 1e-4,
        heads_scope: Scope = "layer",
        neurons_scope: Scope = "global",
        threshold: float | None = None,
        learning_rate: float | None = None,
        record: str | os.PathLike[str] | None = None,
    ) -> None:
        if then not in ("stop", "continue"):
            raise InputError(f'then must be "stop" or "continue", got {then!r}')
        self.attribute = attribute
        self.heads, self.neurons, self.then = heads, neurons, then
        self.detector = detector_to_continue(detector, threshold) if then == "continue" else detector
        self.score, self.l1, self.threshold = score, l1, threshold
        self.heads_scope, self.neurons_scope = heads_scope, neurons_scope
        self.learning_rate = learning_rate
        self.record = None if record is None else Path(record)
        self.ticket: Ticket | None = None
        self._search: Search | None = None
        self._steps = 0
        self._resumed: bytes | None = None
        # What a checkpoint is given that is written because of an exception, when the search is off the model.
        self._left: dict[str, Any] = {}

    @property
    def state_key(self) -> str:
        """In a checkpoint: of each of a module's models its own."""
        return self._generate_state_key(attribute=self.attribute)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget what an earlier fit has left, before a checkpoint is loaded."""
        self._resumed, self._left = None, {}
        if stage == "fit":
            self.ticket = None

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take the search that the fit goes on with out of its checkpoint."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        if self.record is None:
            raise InputError(
                "the fit goes on from a checkpoint, but the detector has to see again what it saw before: give the"
                " callback the record= of the fit that goes on, or fit without ckpt_path, so that both begin anew"
            )
        state = checkpoint.get("callbacks", {}).get(self.state_key, {})
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
        self._resumed = state[_SEARCH].numpy().tobytes()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of the search: the file of `Search.save_state`, as bytes, and the fit's step."""
        if self._search is None or self.record is None:
            return self._left
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / _FILE
            self._search.save_state(path)
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
        if trainer.precision == "16-mixed":
            raise InputError('the search cannot follow 16-mixed\'s scaled gradients: use precision="bf16-mixed"')
        if len(trainer.optimizers) != 1:
            raise InputError(f"the search follows one optimizer, the module has {len(trainer.optimizers)}")
        if self.then == "continue" and trainer.world_size > 1:
            raise InputError(
                f'then="continue" prunes in place, which {trainer.world_size} processes cannot do together: use "stop"'
            )
        total = trainer.estimated_stepping_batches
        if total == float("inf"):
            raise InputError("the search needs a planned length: give the Trainer max_steps or max_epochs")
        resumed, self._resumed = self._resumed, None
        self._steps = trainer.global_step
        with tempfile.TemporaryDirectory() as directory:
            state = None
            if resumed is not None:
                state = Path(directory) / _FILE
                state.write_bytes(resumed)
            self._search = Search(
                model,
                heads=self.heads,
                neurons=self.neurons,
                total_steps=int(total),
                score=self.score,
                detector=self.detector,
                l1=self.l1,
                heads_scope=self.heads_scope,
                neurons_scope=self.neurons_scope,
                threshold=self.threshold,
                learning_rate=self.learning_rate or 1e-3,
                record=self.record,
                overwrite=True,
                resume=state,
            )

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Give the coefficients their penalty and this step's rate."""
        if self._search is None:
            return
        self._search.apply_penalty()
        group = optimizer.param_groups[0]
        if self.learning_rate is None:
            self._search.learning_rate = group["lr"]
        else:
            self._search.learning_rate = self.learning_rate * group["lr"] / group.get("initial_lr", group["lr"])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Observe the step, if the optimizer made one; at the draw, stop or prune."""
        if self._search is None or trainer.global_step == self._steps:
            return
        if self.then == "continue" and self._search.steps == 0:
            refuse_unsliceable(trainer.optimizers[0], getattr(pl_module, self.attribute), self._search)
        self.ticket = self._search.step()
        self._steps = trainer.global_step
        for kind, values in self._search.detection.values.items():
            for criterion, value in values.items():
                pl_module.log(f"earlybird_{criterion.name}_{kind}", value)
        if self.ticket is None:
            return
        self._finish(trainer, pl_module)
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
        self._finish(trainer, pl_module)  # when the fit ends, the module has left its device

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the coefficients off after a fit that had no step to take."""
        self._abandon()

    def _abandon(self) -> None:
        search, self._search = self._search, None
        if search is not None:
            search.detach()

    def _finish(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._search is None:
            return
        self._search.finish()
        self.ticket, self._search = self._search.ticket, None
        if self.ticket is not None and self.then == "continue":
            prune(getattr(pl_module, self.attribute), self.ticket, optimizer=trainer.optimizers[0])
