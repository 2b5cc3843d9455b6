"""What going on with the pruned network needs, looked at before anything has been searched for long."""

from __future__ import annotations

import torch
from torch import nn

from earlybird.anatomy import Block
from earlybird.cutting import tensor_at
from earlybird.errors import InputError
from earlybird.optimizer_surgery import unsliceable
from earlybird.search import Search
from earlybird.wrappers import unwrapped


def refuse_unsliceable(optimizer: torch.optim.Optimizer, model: nn.Module, search: Search) -> None:
    """Refuse an optimizer that the draw could not slice; it shows once there is a state, after the first step.

    Raises:
        InputError: its state of a parameter that may be cut has neither the parameter's shape nor a single number.
    """
    model, kinds = unwrapped(model), search.slimming.deviations.keys()
    blocks: list[Block] = [block for block in search.anatomy.attention if "heads" in kinds]
    blocks += [block for block in search.anatomy.mlp if "neurons" in kinds]
    names = dict.fromkeys(part.parameter for block in blocks for part in block.parts)
    if reason := unsliceable(optimizer, {name: tensor_at(model, name) for name in names}):
        raise InputError(
            f'{reason}, which then="continue" would have to do: train by AdamW or SGD, or with then="stop"'
            ' (train_early_bird: start="rewind")'
        )


def detector_to_continue(detector: str | None, threshold: float | None) -> str | None:
    """The detector of a training that goes on from its draw: a fifth of it, where nothing else is asked for.

    Measured on three workloads, what the default detector draws leaves too little of the training to mend what pruning
    broke; docs/choosing-a-detector.md has the numbers.
    """
    return "fixed-time" if detector is None and threshold is None else detector
