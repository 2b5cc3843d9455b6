"""Whether a training can go on with the small network: its optimizer, and what spreads the model over processes."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from earlybird.anatomy import Anatomy
from earlybird.anatomy.distributed import is_first
from earlybird.anatomy.paths import tensor_at
from earlybird.anatomy.wrappers import unwrapped
from earlybird.config import SearchConfig
from earlybird.errors import InputError
from earlybird.surgery.data_parallel import refuse_to_rebuild
from earlybird.surgery.gradient_hooks import refuse_gradient_hooks
from earlybird.surgery.optimizer import cannot_follow, cannot_follow_as_tried
from earlybird.vocabulary import KINDS, AtDraw, Kind

_log = logging.getLogger(__name__)


def refuse_before_training(
    model: nn.Module,
    anatomy: Anatomy,
    optimizer: torch.optim.Optimizer,
    wrapper: DistributedDataParallel | None,
) -> None:
    """Refuse what shows before the first step: a wrapper that cannot be built anew, a kind of optimizer.

    Args:
        model: that is about to train.
        anatomy: of the blocks that may be pruned.
        optimizer: of the model.
        wrapper: around the model, of several processes.

    Raises:
        InputError: one of them could not be taken along.
    """
    if wrapper is not None:
        refuse_to_rebuild(wrapper)
    parameters = _parameters_that_may_be_cut(model, anatomy, KINDS)
    _refuse(cannot_follow(optimizer, parameters) or cannot_follow_as_tried(optimizer, parameters))


def refuse_after_first_step(
    model: nn.Module, anatomy: Anatomy, kinds: Iterable[Kind], optimizer: torch.optim.Optimizer
) -> None:
    """Refuse an optimizer that the draw could not take along; it shows once there is a state, after the first step.

    Args:
        model: that trains.
        anatomy: of the blocks that may be pruned.
        kinds: of units that are searched.
        optimizer: of the model.

    Raises:
        InputError: see `cannot_follow`, of the parameters that may be cut, and `refuse_gradient_hooks`.
    """
    parameters = _parameters_that_may_be_cut(model, anatomy, kinds)
    refuse_gradient_hooks(unwrapped(model), parameters)
    _refuse(cannot_follow(optimizer, parameters))


def config_without_wrapper(config: SearchConfig, then: AtDraw) -> SearchConfig:
    """The config of a search in several processes whose model is not in DistributedDataParallel.

    Raises:
        InputError: the training is to continue.
    """
    if then == "continue":
        raise InputError(
            'then="continue" prunes in place, and of what spreads a model over processes only torch\'s'
            ' DistributedDataParallel can be built anew: use "stop" (train_early_bird: weights="rewind"), prune, and'
            " train with a new Trainer; for FSDP see docs/several-processes.md"
        )
    if config.compensation:
        config = replace(config, compensation=0)
        if is_first():
            _log.warning(
                "no compensation: without DistributedDataParallel each of several processes would refit on its own"
                " batches; prune and refit in one process after the search"
            )
    return config


def _parameters_that_may_be_cut(model: nn.Module, anatomy: Anatomy, kinds: Iterable[Kind]) -> dict[str, nn.Parameter]:
    blocks = [block for kind in kinds for block in anatomy.of_kind(kind)]
    names = dict.fromkeys(part.parameter for block in blocks for part in block.parts)
    inner = unwrapped(model)
    tensors = {name: tensor_at(inner, name) for name in names}
    return {name: tensor for name, tensor in tensors.items() if isinstance(tensor, nn.Parameter)}


def _refuse(reason: str) -> None:
    """Raise InputError where there is a reason why an optimizer could not be taken along."""
    if reason:
        raise InputError(
            f'{reason}, which then="continue" would have to do: train by AdamW or SGD, or with then="stop"'
            ' (train_early_bird: weights="rewind")'
        )
