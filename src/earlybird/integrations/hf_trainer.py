"""The whole way inside the Hugging Face Trainer: search, draw, prune, train on."""

from __future__ import annotations

import copy
import logging
from typing import Any, get_args

import torch
from transformers import Trainer

from earlybird.anatomy.distributed import is_first, several
from earlybird.config import SearchConfig, check_search_config
from earlybird.detectors.defaults import scored_by
from earlybird.errors import InputError, JobError
from earlybird.integrations.compensated_prune import prune_on
from earlybird.integrations.hf_callback import EarlyBirdCallback
from earlybird.integrations.hf_checkpoints import load_best_by_older_names
from earlybird.integrations.search_callback import plain_optimizer
from earlybird.surgery.data_parallel import data_parallel_around
from earlybird.ticket import Ticket
from earlybird.vocabulary import Weights

__all__ = ["EarlyBirdCallback", "train_early_bird"]

_log = logging.getLogger(__name__)


def train_early_bird(
    trainer: Trainer, config: SearchConfig | None = None, *, weights: Weights | None = None, draw_at_end: bool = True
) -> Ticket:
    """Search, draw, prune and train on, all with one Trainer; afterwards its model is small and trained.

    Args:
        trainer: ready to train; its model is pruned in place.
        config: see `EarlyBirdCallback`; by default `SearchConfig()`, which about halves the FLOPs of a fine-tuning,
            search included, and those of an answer afterwards.
        weights: "continue" from those at the draw to the schedule's end, or "rewind" to the initial ones and train by
            the whole schedule again. By default a search by gradients, which draws early, continues; one by
            coefficients, which draws late, rewinds, and so does one that has nothing left to train, because only the
            end has drawn.
        draw_at_end: if nothing has settled by the end of the search, draw there all the same; where "continue" is
            asked for, that leaves nothing to train.

    Returns:
        The ticket.

    Raises:
        InputError: settings out of bounds, or a Trainer whose model, precision or (continuing) optimizer will not do;
            FSDP or DeepSpeed, whose parameters cannot be cut in place; rewinding with a `model_init`, which builds a
            whole model for the second training.
        JobError: nothing settled, and `draw_at_end` is False.
    """
    model = trainer.model
    if not isinstance(model, torch.nn.Module):
        raise InputError("the Trainer has no model yet (model_init): build the model and give it to the Trainer")
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        raise InputError(
            "train_early_bird prunes in place, and FSDP and DeepSpeed hold parts of the parameters in every process:"
            " train with DistributedDataParallel, or see docs/several-processes.md for a sharded model"
        )
    config = SearchConfig() if config is None else config
    check_search_config(config)
    rewind = may_rewind = weights == "rewind"
    if weights is None:
        rewind = scored_by(config) == "coefficient"
        may_rewind = rewind or trainer.model_init is None
    elif weights not in get_args(Weights):
        raise InputError(f'weights must be "rewind" or "continue", got {weights!r}')
    if rewind and trainer.model_init is not None:
        raise InputError(
            "rewinding trains twice, and the Trainer builds a whole model for each training (model_init), in the place"
            " of the pruned one: build the model once, and give it to the Trainer, Trainer(model=...), or give"
            ' weights="continue"'
        )
    initial: dict[str, torch.Tensor] = {}
    if may_rewind:
        initial = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    own_optimizer, own_scheduler = trainer.optimizer is not None, copy.deepcopy(trainer.lr_scheduler)
    callback = EarlyBirdCallback(trainer, config, then="stop" if rewind else "continue", draw_at_end=draw_at_end)
    callback.prune_at_end = not may_rewind
    trainer.add_callback(callback)
    try:
        trainer.train()
    finally:
        callback.abandon()
        trainer.remove_callback(callback)
    if callback.ticket is None:
        raise JobError("the masks did not settle within the training; train longer, or give draw_at_end=True")
    unsettled = callback.ticket.provenance["how"] == "end"
    if rewind or (may_rewind and unsettled):
        if unsettled and not rewind and is_first():
            _log.warning(
                "the masks did not settle within the %d steps: the whole network was trained to the end, and now the"
                " small one trains from the initial weights. Together that costs more than dense training. Train for"
                " longer, or draw at a fixed share of the steps: SearchConfig(detector='fixed-time', threshold=0.2)",
                callback.ticket.provenance["draw_step"] + 1,
            )
        _log.info(
            "drawn at step %d, keeping %s; the small network trains from the initial weights",
            callback.ticket.provenance["draw_step"],
            ", ".join(f"{mask.sum()} of {mask.size} {kind}" for kind, mask in callback.ticket.masks.items()),
        )
        model.load_state_dict(initial)
        optimizer = plain_optimizer(trainer.optimizer)
        own = optimizer if own_optimizer else None
        # Of several processes each has a copy, around which the next training puts a new wrapper.
        by_all = data_parallel_around(trainer.model_wrapped) is not None
        wanted = config.compensation if by_all or not several() else 0
        prune_on(model, callback.ticket, callback.batches, wanted, optimizer=own, by_all=by_all)
        _start_anew(trainer, optimizer if own_optimizer else None, own_scheduler)
        trainer.train()
        load_best_by_older_names(trainer)
    return callback.ticket


def _start_anew(trainer: Trainer, optimizer: Any, scheduler: Any) -> None:
    """Let the next training begin as the first did: an optimizer that remembers nothing, the schedule's start."""
    trainer.optimizer, trainer.lr_scheduler = optimizer, None
    # What the Trainer wrapped for several processes reduces the gradients of the parameters before pruning.
    trainer.model_wrapped = trainer.model  # type: ignore[assignment]
    if optimizer is None:
        return
    optimizer.state.clear()
    for group in optimizer.param_groups:
        group["lr"] = group.get("initial_lr", group["lr"])
    if scheduler is not None:
        scheduler.optimizer = optimizer
        trainer.lr_scheduler = scheduler
