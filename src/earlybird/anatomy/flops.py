"""What a model costs: parameters, and floating point operations of a forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from earlybird.anatomy.copies import copied

# How eager attention multiplies queries by keys, and by values.
_PRODUCTS = (torch.ops.aten.bmm, torch.ops.aten.baddbmm)

# More are not held a second time, to count what they do.
_MOST_ZEROS = 500_000_000


def parameter_count(model: nn.Module) -> int:
    """Number of the model's parameters, shared ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def forward_flops(model: nn.Module, inputs: Mapping[str, Tensor]) -> int:
    """Floating point operations of one forward pass (a multiplication and an addition are two).

    Counted by torch on a copy without storage and with eager attention, where no kernel hides its products;
    the extra zero key of the off-by-one softmax is not counted.
    """
    return int(_counted(model, inputs).get_total_flops())


def flops_by_module(model: nn.Module, inputs: Mapping[str, Tensor]) -> tuple[dict[str, int], dict[str, int]]:
    """What each module takes of `forward_flops`, all its calls together: by its path, and its attention products alone.

    Products are those of two results, queries by keys for instance, rather than of a result by a weight.
    """
    whole: dict[str, int] = {}
    products: dict[str, int] = {}
    for name, counts in _counted(model, inputs).get_flop_counts().items():
        _, _, path = name.partition(".")
        whole[path] = int(sum(counts.values()))
        products[path] = int(sum(counts.get(operation, 0) for operation in _PRODUCTS))
    return whole, products


def _counted(model: nn.Module, inputs: Mapping[str, Tensor]) -> FlopCounterMode:
    try:
        return _counted_on("meta", None, model, inputs)
    except RuntimeError as error:
        # Some kernels, those of experts among them, take nothing but bfloat16; what is counted is the same. Some
        # forward passes ask for values (DeBERTa): they get zeros.
        tries: list[tuple[str, torch.dtype | None]] = [("meta", torch.bfloat16)]
        tries += [("cpu", None)] if parameter_count(model) <= _MOST_ZEROS else []
        for device, dtype in tries:
            with contextlib.suppress(Exception):
                return _counted_on(device, dtype, model, inputs)
        raise error


def _counted_on(
    device: str, dtype: torch.dtype | None, model: nn.Module, inputs: Mapping[str, Tensor]
) -> FlopCounterMode:
    from transformers import PreTrainedModel

    # Found in the memo, a parameter is not copied with its numbers first.
    shapes = {
        id(parameter): nn.Parameter(torch.zeros_like(parameter, device=device), requires_grad=False)
        for parameter in model.parameters()
    }
    shaped = copied(model, shapes).to(device, dtype).eval()
    if isinstance(shaped, PreTrainedModel):
        shaped.set_attn_implementation("eager")
        with contextlib.suppress(ValueError):  # a family without experts
            # Each token's own experts, and no loop over those that values point at.
            shaped.set_experts_implementation("batched_mm")
    given = {
        name: torch.zeros_like(value, device=device, dtype=dtype if value.is_floating_point() else None)
        for name, value in inputs.items()
    }
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        shaped(**given)
    return counter
