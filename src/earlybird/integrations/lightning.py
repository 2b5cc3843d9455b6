"""A search inside a Lightning Trainer."""

from __future__ import annotations

from typing import Any

from earlybird.detectors.scores import Score
from earlybird.errors import InputError
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


class EarlyBirdCallback(Callback):
    """Searches while a Lightning Trainer fits; the module's training step stays as it is.

        callback = EarlyBirdCallback("model", heads=0.3, neurons=0.4)
        Trainer(max_steps=1000, callbacks=[callback]).fit(module, batches)  # ends at the draw
        earlybird.prune(module.model, callback.ticket)

    For automatic optimization with one optimizer, in 32 bits or bf16. Each fit is a search of its own, and
    begins at its first step: Lightning's checkpoints do not hold the search.

    Args:
        attribute: name of the module's attribute that holds the Transformer.
        heads, neurons: ratios to prune, in [0, 1).
        then: at the draw, "stop" the fit, or prune in place and "continue" with the small network.
        score, l1, heads_scope, neurons_scope, threshold: as in `earlybird.Search`.
        detector: as there, but that "continue" draws at a fifth of the training by default (`fixed-time`).
        learning_rate: of the coefficients, by default that of the weights; it follows the weights' schedule.

    Attributes:
        ticket: of the newest fit, once it is drawn.

    Raises:
        InputError: when the fit starts: no such attribute, no planned number of steps, more than one optimizer,
            16-mixed precision, or "continue" with more than one process; it goes on from a checkpoint. At the first
            step: "continue" with an optimizer whose state cannot be sliced (Adafactor).
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
    ) -> None:
        if then not in ("stop", "continue"):
            raise InputError(f'then must be "stop" or "continue", got {then!r}')
        self.attribute = attribute
        self.heads, self.neurons, self.then = heads, neurons, then
        self.detector = detector_to_continue(detector, threshold) if then == "continue" else detector
        self.score, self.l1, self.threshold = score, l1, threshold
        self.heads_scope, self.neurons_scope = heads_scope, neurons_scope
        self.learning_rate = learning_rate
        self.ticket: Ticket | None = None
        self._search: Search | None = None
        self._steps = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Attach the coefficients to the model."""
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
        self.ticket, self._steps = None, trainer.global_step
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
        )

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Refuse a fit that goes on from a checkpoint."""
        if trainer.state.fn == TrainerFn.FITTING:
            raise InputError(
                "the fit goes on from a checkpoint, in which the search is not kept: fit without ckpt_path, so that"
                " both begin anew, or without this callback"
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
        self._steps = trainer.global_step
        if self.then == "continue" and self._search.steps == 0:
            refuse_unsliceable(trainer.optimizers[0], getattr(pl_module, self.attribute), self._search)
        self.ticket = self._search.step()
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
