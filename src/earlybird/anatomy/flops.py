"""What a model costs: parameters, and floating point operations of a forward pass."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def parameter_count(model: nn.Module) -> int:
    """Number of the model's parameters, shared ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def forward_flops(model: nn.Module, inputs: dict[str, Tensor]) -> int:
    """Floating point operations of one forward pass (a multiplication and an addition are two).

    Counted by torch on a copy without storage and with eager attention, where no kernel hides its products;
    the extra zero key of the off-by-one softmax is not counted.
    """
    from transformers import PreTrainedModel

    shape_only = copy.deepcopy(model).to("meta").eval()
    if isinstance(shape_only, PreTrainedModel):
        shape_only.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shape_only(**{name: value.to("meta") for name, value in inputs.items()})
    return int(counter.get_total_flops())
