"""Gradients of coefficients that stay at 1, read from the gradients of the weights that they would scale.

A coefficient c_f on the input feature f of a projection y = W (c * x) + b has the gradient sum_j W_jf dL/dW_jf at 1,
over all tokens of the step, since W and c enter by their product alone. On an output feature it is that of the row,
and the bias's b_f dL/db_f with it. So nothing is added to the forward pass, and nothing kept for the backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers.pytorch_utils import Conv1D

from earlybird.anatomy.experts import OUTPUT
from earlybird.slimming.target import Target


@dataclass(frozen=True)
class Scaled:
    """A parameter whose entries coefficients would scale.

    Attributes:
        module: that has it.
        name: of it in there.
        dims: those along which the units lie; it is summed over the others.
        unit_of: the unit of each entry along `dims`, in the order of memory, -1 for none.
    """

    module: nn.Module
    name: str
    dims: tuple[int, ...]
    unit_of: NDArray[np.int64]


class ReadGradient:
    """Hook on a parameter's gradient: what the entries of each backward pass say of the units' coefficients.

    It sees the gradient of the pass by itself, before the loop adds, clips, scales or steps. What was read counts once
    the gradient has been accumulated; `torch.autograd.grad` accumulates nothing.

    Args:
        scaled: the parameter.
        target: (units,) float32, the gradient of the coefficients, which is added to.
    """

    def __init__(self, scaled: Scaled, target: Tensor) -> None:
        self.scaled = scaled
        parameter: Any = scaled.module._parameters[scaled.name]
        self.parameter: nn.Parameter = parameter
        self._accumulated = AddRead(target)
        self.handles: tuple[RemovableHandle, ...] = (
            parameter.register_hook(self),
            parameter.register_post_accumulate_grad_hook(self._accumulated),
        )
        self._units, unit_of = len(target), scaled.unit_of
        width, self._last = len(unit_of) // self._units, scaled.dims[-1]
        in_a_row = np.array_equal(unit_of, np.repeat(np.arange(self._units), width))
        # Entries of a unit that lie side by side are summed along with the other dimensions; others are given to their
        # places, the last of which is for entries of no unit.
        self._width = width if in_a_row else 1
        places = torch.from_numpy(np.where(unit_of < 0, self._units, unit_of)).to(target.device)
        self._places = None if in_a_row else places
        others = [dim + (dim > self._last) for dim in range(parameter.ndim) if dim not in scaled.dims]
        self._over = [*others, self._last + 1]

    def __call__(self, gradient: Tensor) -> None:
        """Note the units' gradients of a pass; the parameter's stays as it is."""
        # On a GPU every operation costs more than its numbers.
        with torch.no_grad():
            product = torch.unflatten(self.parameter * gradient, self._last, (-1, self._width))
            read = product.sum(self._over, dtype=torch.float32).reshape(-1)
            if self._places is not None:
                read = read.new_zeros(self._units + 1).index_add_(0, self._places, read)[:-1]
        self._accumulated.read = read

    def still_reads(self) -> bool:
        """Whether it sees the gradients of its module's parameter: not if that was frozen, or is another one now."""
        parameter = self.parameter
        hooks = (parameter._backward_hooks or {}).values()
        in_place = self.scaled.module._parameters.get(self.scaled.name) is parameter
        return bool(parameter.requires_grad) and in_place and any(hook is self for hook in hooks)


class AddRead:
    """Hook after a parameter's gradient has been accumulated: adds what was read of it to the coefficients'.

    The garbage collector does not see such hooks: it holds neither the parameter nor its module.

    Args:
        target: (units,) float32, the gradient of the coefficients.
    """

    def __init__(self, target: Tensor) -> None:
        self.read: Tensor | None = None
        self._target = target

    def __call__(self, _: Tensor) -> None:
        """Add it once."""
        if self.read is not None:
            self._target.add_(self.read)
            self.read = None


def scaled_parameters(target: Target) -> tuple[Scaled, ...]:
    """The parameters that a target's coefficients would scale; none where these do not tell their gradients.

    They do not where one is frozen (beside LoRA), sharded or quantized, or has a hook that may change its gradient, or
    where it is not known that the module computes the plain product.
    """
    module: Any = target.module
    found: list[Scaled] = []
    if target.part is not None and target.unit_of is not None:
        found = [Scaled(module, target.parameter, (0, target.part.dim), target.unit_of.reshape(-1))]
    elif target.unit_of is None:
        own = module.named_parameters(recurse=False)
        found = [Scaled(module, name, (0,), np.arange(target.units)) for name, _ in own if name.startswith(OUTPUT)]
    elif type(module) in (nn.Linear, Conv1D) and "forward" not in vars(module):
        inputs_last = type(module) is nn.Linear
        found = [Scaled(module, "weight", (int((target.place == "after") == inputs_last),), target.unit_of)]
        if target.place == "before" and module.bias is not None:
            found.append(Scaled(module, "bias", (0,), target.unit_of))
    parameters = [each.module._parameters.get(each.name) for each in found]
    readable = all(type(own) is nn.Parameter and own.requires_grad and not own._backward_hooks for own in parameters)
    return tuple(found) if readable else ()


def read_gradients(scaled: Sequence[Scaled], leaf: Tensor) -> tuple[ReadGradient, ...]:
    """Let the gradient of coefficients (units,) be read at every backward pass."""
    gradient = leaf.grad
    assert gradient is not None
    return tuple(ReadGradient(each, gradient) for each in scaled)


def reads(module: nn.Module) -> bool:
    """Whether the gradients of a module's own parameters are read."""
    own = (parameter._backward_hooks or {} for parameter in module._parameters.values() if parameter is not None)
    return any(isinstance(hook, ReadGradient) for hooks in own for hook in hooks.values())
