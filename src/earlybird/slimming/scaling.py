"""Hooks that scale the inputs or the outputs of a projection, unit by unit.

Scaling the columns of a weight scales what enters it, scaling its rows and bias what leaves it. That costs as much as
the weight is large, and scaling the features themselves as much as there are features: the cheaper of the two is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers.pytorch_utils import Conv1D

from earlybird.anatomy.blocks import Part
from earlybird.anatomy.distributed import replicated_like
from earlybird.anatomy.experts import OUTPUT
from earlybird.anatomy.wrappers import is_lora, lora_matrices
from earlybird.errors import InputError


class UnitScale:
    """Scales features by 1 + deviation of the unit that they belong to.

    Args:
        deviation: (units,) float32, a leaf of the autograd graph.
        unit_of: (features,) int: the unit of each feature; -1 for a feature that stays as it is.
    """

    def __init__(self, deviation: Tensor, unit_of: NDArray[np.int64]) -> None:
        self.deviation = deviation
        self.every_feature = bool((unit_of >= 0).all())
        # Features of a unit that lie side by side, as many of every unit: a view of them is scaled. An index would be
        # sorted in its backward.
        self.width = len(unit_of) // len(deviation)
        in_a_row = np.array_equal(unit_of, np.repeat(np.arange(len(deviation)), self.width))
        places = torch.from_numpy(np.where(unit_of < 0, len(deviation), unit_of))
        self.unit_of = None if in_a_row else places.to(deviation.device)

    def scale(self) -> Tensor:
        """What each feature is multiplied by, (features,) float32."""
        scale = 1 + self.deviation
        if self.unit_of is None:
            return scale if self.width == 1 else scale[:, None].expand(-1, self.width).reshape(-1)
        if not self.every_feature:
            scale = torch.cat([scale, scale.new_ones(1)])
        return scale[self.unit_of]

    def scaled(self, values: Tensor, dim: int = -1) -> Tensor:
        """Values with the features along a dimension scaled, in their own dtype; the product is taken in float32.

        Args:
            values: features, or a weight that makes or takes them.
            dim: the features' dimension, counted from the end: -1, -2 ...
        """
        if self.unit_of is None and self.width > 1:
            # Seen by units, so that the scale needs not be spread, nor its gradient be summed twice.
            by_units = torch.unflatten(values, dim, (-1, self.width))
            product = (by_units * _along(1 + self.deviation, dim - 1)).flatten(dim - 1, dim)
        else:
            product = values * _along(self.scale(), dim)
        return product.to(values.dtype)

    def shadow(self, module: nn.Module, name: str, dim: int) -> None:
        """Let a module find a parameter scaled along a dimension, if it has it, until `UnshadowParameters`."""
        # Not the attribute, where an interrupt may have left a scaled one.
        parameter = module._parameters[name]
        if parameter is not None:
            shadow_parameter(module, name, self.scaled(parameter, dim))

    def refuse_what_misleads(self, inputs: tuple[Any, ...]) -> None:
        """Refuse a call whose input cannot be seen.

        Raises:
            InputError: the input comes by keyword.
        """
        if not inputs:
            raise InputError(
                "a projection with slimming coefficients was called with its input by keyword: let the model call it"
                " with a positional one, module(features)"
            )


class ScaleInput(UnitScale):
    """Forward pre-hook: scales a module's input, or in its place the columns of its weight."""

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The inputs, the first of them scaled; None where the weight is."""
        self.refuse_what_misleads(inputs)
        if not weight_is_smaller(module, inputs[0], other_side=0):
            return (self.scaled(inputs[0]), *inputs[1:])
        self.shadow(module, "weight", -1 if isinstance(module, nn.Linear) else -2)
        return None


class ScaleRows(UnitScale):
    """Forward pre-hook: scales the rows of a module's weight and its bias, where that costs less than its output."""

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Leave the inputs as they are."""
        self.refuse_what_misleads(inputs)
        if weight_is_smaller(module, inputs[0], other_side=1):
            self.shadow(module, "weight", -2 if isinstance(module, nn.Linear) else -1)
            self.shadow(module, "bias", -1)


class ScaleOutput(UnitScale):
    """Forward hook: scales a module's output, where its rows were not."""

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """The output, scaled; None where it is already."""
        return None if "weight" in module.__dict__ else self.scaled(output)


class ScaleParameter:
    """Forward pre-hook: scales a parameter that no projection has to itself, unit by unit, as that of experts.

    Args:
        name: of the module's parameter.
        deviation: (units,) float32, a leaf of the autograd graph.
        part: where its units lie in the parameter, each of them once.
    """

    def __init__(self, name: str, deviation: Tensor, part: Part) -> None:
        self.name = name
        self.deviation = deviation
        self._part = part

    def scale(self) -> Tensor:
        """What the parameter is multiplied by, with a dimension of 1 where that is the same for all."""
        units = 1 + self.deviation
        # Of experts, one's neurons after the other's, so that they lie as they are.
        return units.reshape(self._part.shape(3))

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Leave the inputs as they are."""
        parameter = module._parameters[self.name]
        assert parameter is not None
        shadow_parameter(module, self.name, (parameter * self.scale()).to(parameter.dtype))


class ScaleExperts:
    """Forward pre-hook of a mixture's experts: scales what each expert gives, by the weights that the router says.

    An expert's output is multiplied with its weight, so that the product with its coefficient is that of both.

    Args:
        deviation: (experts,) float32, a leaf of the autograd graph.
    """

    def __init__(self, deviation: Tensor) -> None:
        self.deviation = deviation

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Of (features, experts picked, their weights) the weights, (tokens, picked), scaled.

        Raises:
            InputError: they are not given by position.
        """
        if len(inputs) < len(("features", "picked", "weights")):
            raise InputError(
                "experts with slimming coefficients were called without the router's picks and weights by position: let"
                " the model call them, module(features, picked, weights)"
            )
        features, picked, weights, *others = inputs
        # A pick beyond the last expert is none.
        scale = torch.cat([1 + self.deviation, self.deviation.new_ones(1)])[picked]
        return (features, picked, (weights * scale).to(weights.dtype), *others)

    def fold_into(self, module: nn.Module) -> None:
        """Multiply the coefficients into what leaves the experts, and the bias added to it."""
        for name, parameter in module.named_parameters(recurse=False):
            if name.startswith(OUTPUT):
                scale = (1 + self.deviation.double()).reshape(-1, *[1] * (parameter.ndim - 1))
                parameter.copy_(parameter.double() * replicated_like(scale, parameter))


class LookAtPrecision:
    """Forward pre-hook of every module that coefficients are for, also where nothing acts on it.

    Args:
        deviation: (units,) float32, a leaf of the autograd graph.
        float16: whether it is known what a loss in float16 is scaled by.
    """

    def __init__(self, deviation: Tensor, *, float16: bool) -> None:
        self.deviation = deviation
        self.float16 = float16

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Leave the inputs as they are.

        Raises:
            InputError: autocast computes in float16, gradients are wanted, and nobody knows the scale of the loss.
        """
        device = self.deviation.device.type
        training = self.deviation.requires_grad and torch.is_grad_enabled() and not self.float16
        if training and torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16:
            raise InputError(
                "training under float16 autocast scales the loss, and with it the gradients of the slimming"
                " coefficients, by a number that changes: use bfloat16, or give the search its GradScaler, scaler="
            )

    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        """Nothing to look at in a copied model, unless its search is copied, too, and attaches anew."""
        return _nothing_to_look_at


def _nothing_to_look_at(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Leave the inputs as they are."""


class UnshadowParameters:
    """Forward hook, also after an error: takes away what stood in the place of a module's parameters."""

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """Leave the output as it is."""
        unshadow_parameters(module)


_SCALES = (UnitScale, ScaleParameter, ScaleExperts, LookAtPrecision)


def _along(scale: Tensor, dim: int) -> Tensor:
    """A scale shaped to multiply along a dimension, counted from the end."""
    return scale if dim == -1 else scale.view(-1, *[1] * (-dim - 1))


def weight_is_smaller(module: nn.Module, features: Tensor, *, other_side: int) -> bool:
    """Whether a module's own weight is smaller than the features (..., inputs) that enter it, or those that leave it.

    Args:
        module: whose weight may be scaled in place of its features, if it is plain: what comes of a weight is not known
            beside LoRA, in a subclass of Linear, or where the weight is a tensor of another kind (sharded, quantized).
        features: that enter the module.
        other_side: dimension of a Linear's weight that the scale does not run over.
    """
    weight = module._parameters.get("weight")
    if type(module) not in (nn.Linear, Conv1D) or type(weight) is not nn.Parameter:
        return False
    other = weight.shape[other_side if isinstance(module, nn.Linear) else 1 - other_side]
    return bool(features.numel() > other * features.shape[-1])


def shadow_parameter(module: nn.Module, name: str, scaled: Tensor) -> None:
    """Let a module find a tensor as its parameter until `UnshadowParameters`; the parameter itself stays as it is."""
    # An attribute of the instance goes before a parameter, and no state dict or optimizer sees it.
    module.__dict__[name] = scaled


def unshadow_parameters(module: nn.Module) -> None:
    """Take away what stands in the place of a module's parameters; an interrupt leaves it, hooks or not."""
    for name in module._parameters:
        module.__dict__.pop(name, None)


def scale_input(module: nn.Module, deviation: Tensor, unit_of: NDArray[np.int64]) -> list[RemovableHandle]:
    """Scale what enters a projection; returns what takes the scale off again. For the arguments see `UnitScale`."""
    return [
        module.register_forward_pre_hook(ScaleInput(deviation, unit_of)),
        module.register_forward_hook(UnshadowParameters(), always_call=True),
    ]


def scale_output(module: nn.Module, deviation: Tensor, unit_of: NDArray[np.int64]) -> list[RemovableHandle]:
    """Scale what leaves a projection; returns what takes the scale off again. For the arguments see `UnitScale`."""
    return [
        module.register_forward_pre_hook(ScaleRows(deviation, unit_of)),
        module.register_forward_hook(ScaleOutput(deviation, unit_of)),
        module.register_forward_hook(UnshadowParameters(), always_call=True),
    ]


def scale_parameter(module: nn.Module, name: str, deviation: Tensor, part: Part) -> list[RemovableHandle]:
    """Scale a parameter; returns what takes the scale off again. For the arguments see `ScaleParameter`."""
    return [
        module.register_forward_pre_hook(ScaleParameter(name, deviation, part)),
        module.register_forward_hook(UnshadowParameters(), always_call=True),
    ]


def scale_experts(module: nn.Module, deviation: Tensor) -> list[RemovableHandle]:
    """Scale what experts give; returns what takes the scale off again. For the arguments see `ScaleExperts`."""
    return [module.register_forward_pre_hook(ScaleExperts(deviation))]


def look_at_precision(module: nn.Module, deviation: Tensor, *, float16: bool) -> RemovableHandle:
    """Refuse float16 where it misleads; returns what ends that. For the arguments see `LookAtPrecision`."""
    return module.register_forward_pre_hook(LookAtPrecision(deviation, float16=float16))


def fold(model: nn.Module) -> None:
    """Multiply all scales into the weights that they act on, and take them off: outputs stay the same."""
    with torch.no_grad():
        for module in model.modules():
            for hooks in (module._forward_pre_hooks, module._forward_hooks):
                for key, hook in list(hooks.items()):
                    if not isinstance(hook, (*_SCALES, UnshadowParameters)):
                        continue
                    unshadow_parameters(module)
                    if isinstance(hook, (ScaleInput, ScaleOutput)):
                        _fold_into(module, hook)
                    elif isinstance(hook, ScaleParameter):
                        parameter = module.get_parameter(hook.name)
                        scale = hook.scale().double()
                        parameter.copy_(parameter.double() * replicated_like(scale, parameter))
                    elif isinstance(hook, ScaleExperts):
                        hook.fold_into(module)
                    del hooks[key]
                    module._forward_hooks_always_called.pop(key, None)


def _fold_into(module: nn.Module, hook: ScaleInput | ScaleOutput) -> None:
    scale = hook.scale().double()
    rows = isinstance(hook, ScaleOutput)
    for matrix in _matrices(module, "lora_B" if rows else "lora_A"):
        inputs_last = isinstance(matrix, nn.Linear)
        factor = scale[:, None] if rows == inputs_last else scale
        matrix.weight.copy_(matrix.weight.double() * replicated_like(factor, matrix.weight))
        if rows and matrix.bias is not None:
            matrix.bias.copy_(matrix.bias.double() * replicated_like(scale, matrix.bias))


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
    return any(isinstance(hook, _SCALES) for hook in hooks)


def refuse_while_slimming(model: nn.Module) -> None:
    """Raise InputError if a search has its coefficients on a model."""
    for name, module in model.named_modules():
        if is_scaled(module):
            raise InputError(
                f"slimming coefficients are still attached to {name}: call the search's finish() first (it folds"
                " them into the weights), or detach() (it drops them); of a copy, earlybird.slimming.scaling.fold(copy)"
            )
