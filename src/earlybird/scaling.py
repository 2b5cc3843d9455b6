"""Hooks that scale the inputs or the outputs of a linear module, unit by unit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class UnitScale:
    """Scales features by 1 + deviation of the unit that they belong to.

    Args:
        deviation: (units,) float32, a leaf of the autograd graph.
        unit_size: adjacent features of one unit.
    """

    def __init__(self, deviation: Tensor, unit_size: int) -> None:
        self.deviation = deviation
        self.unit_size = unit_size

    def scaled(self, features: Tensor) -> Tensor:
        """features (..., units * unit_size) scaled, in their own dtype; the product is taken in float32."""
        scale = 1 + self.deviation
        if self.unit_size > 1:
            scale = scale.repeat_interleave(self.unit_size)
        return (features * scale).to(features.dtype)


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
                    if isinstance(hook, UnitScale) and isinstance(module, nn.Linear):
                        _fold_into(module, hook)
                        del hooks[key]


def _fold_into(module: nn.Linear, hook: UnitScale) -> None:
    scale = (1 + hook.deviation.double()).repeat_interleave(hook.unit_size)
    if isinstance(hook, ScaleInput):
        module.weight.copy_(module.weight.double() * scale)
        return
    module.weight.copy_(module.weight.double() * scale[:, None])
    if module.bias is not None:
        module.bias.copy_(module.bias.double() * scale)


def is_scaled(module: nn.Module) -> bool:
    """Whether a module's inputs or outputs are being scaled."""
    hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    return any(isinstance(hook, UnitScale) for hook in hooks)
