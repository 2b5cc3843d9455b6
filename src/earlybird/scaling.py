"""Hooks that scale the inputs or the outputs of a projection, unit by unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from earlybird.errors import InputError
from earlybird.wrappers import is_lora, lora_matrices


class UnitScale:
    """Scales features by 1 + deviation of the unit that they belong to.

    Args:
        deviation: (units,) float32, a leaf of the autograd graph.
        unit_of: (features,) int: the unit of each feature; -1 for a feature that stays as it is.
    """

    def __init__(self, deviation: Tensor, unit_of: NDArray[np.int64]) -> None:
        self.deviation = deviation
        self.every_feature = bool((unit_of >= 0).all())
        one_each = np.array_equal(unit_of, np.arange(len(deviation)))
        places = torch.from_numpy(np.where(unit_of < 0, len(deviation), unit_of))
        self.unit_of = None if one_each else places.to(deviation.device)

    def scale(self) -> Tensor:
        """What each feature is multiplied by, (features,) float32."""
        scale = 1 + self.deviation
        if self.unit_of is None:
            return scale
        if not self.every_feature:
            scale = torch.cat([scale, scale.new_ones(1)])
        return scale[self.unit_of]

    def scaled(self, features: Tensor) -> Tensor:
        """features (..., features) scaled, in their own dtype; the product is taken in float32.

        Raises:
            InputError: they are computed, for training, in float16 by autocast.
        """
        if (
            features.dtype == torch.float16
            and self.deviation.requires_grad
            and torch.is_grad_enabled()
            and torch.is_autocast_enabled(features.device.type)
        ):
            raise InputError(
                "training under float16 autocast scales the loss, and with it the gradients of the slimming"
                " coefficients, by a number that changes: use bfloat16"
            )
        return (features * self.scale()).to(features.dtype)


class ScaleInput(UnitScale):
    """Forward pre-hook: scales a module's input."""

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs, the first of them scaled."""
        return (self.scaled(inputs[0]), *inputs[1:])


class ScaleOutput(UnitScale):
    """Forward hook: scales a module's output."""

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        """The output, scaled."""
        return self.scaled(output)


def fold(model: nn.Module) -> None:
    """Multiply all scales into the weights that they act on, and take them off: outputs stay the same."""
    with torch.no_grad():
        for module in model.modules():
            for hooks in (module._forward_pre_hooks, module._forward_hooks):
                for key, hook in list(hooks.items()):
                    if isinstance(hook, UnitScale):
                        _fold_into(module, hook)
                        del hooks[key]


def _fold_into(module: nn.Module, hook: UnitScale) -> None:
    scale = hook.scale().double()
    rows = isinstance(hook, ScaleOutput)
    for matrix in _matrices(module, "lora_B" if rows else "lora_A"):
        inputs_last = isinstance(matrix, nn.Linear)
        matrix.weight.copy_(matrix.weight.double() * (scale[:, None] if rows == inputs_last else scale))
        if rows and matrix.bias is not None:
            matrix.bias.copy_(matrix.bias.double() * scale)


def _matrices(module: nn.Module, adapters: str) -> Iterator[nn.Linear | Conv1D]:
    """The matrices whose scaling scales a projection's inputs (with "lora_A") or outputs (with "lora_B")."""
    if is_lora(module):
        yield from (matrix for _, matrix in lora_matrices(module, adapters))
        module = module.get_submodule("base_layer")
    assert isinstance(module, (nn.Linear, Conv1D))
    yield module


def is_scaled(module: nn.Module) -> bool:
    """Whether a module's inputs or outputs are being scaled."""
    hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    return any(isinstance(hook, UnitScale) for hook in hooks)
