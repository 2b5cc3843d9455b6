"""Hooks that scale the inputs or the outputs of a projection, unit by unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


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
        """features (..., features) scaled, in their own dtype; the product is taken in float32."""
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
                    if isinstance(hook, UnitScale) and isinstance(module, (nn.Linear, Conv1D)):
                        _fold_into(module, hook)
                        del hooks[key]


def _fold_into(module: nn.Linear | Conv1D, hook: UnitScale) -> None:
    scale = hook.scale().double()
    inputs_last = isinstance(module, nn.Linear)
    rows = isinstance(hook, ScaleOutput)
    module.weight.copy_(module.weight.double() * (scale[:, None] if rows == inputs_last else scale))
    if rows and module.bias is not None:
        module.bias.copy_(module.bias.double() * scale)


def is_scaled(module: nn.Module) -> bool:
    """Whether a module's inputs or outputs are being scaled."""
    hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    return any(isinstance(hook, UnitScale) for hook in hooks)
