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
from torch.utils.weak import TensorWeakRef
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
    """Hook after a parameter's gradient has been accumulated: what its entries say of the units' coefficients.

    A gradient that was added to holds all backward passes of the step, and what is read of it replaces what was read
    before. One in its place holds only its own (the passes before went elsewhere, as DeepSpeed lets them): what is read
    of it comes on top.

    Args:
        scaled: the parameter.
        target: (units,) float32, the gradient of the coefficients.
        readers: of all parameters that the same coefficients would scale, this one among them.
    """

    def __init__(self, scaled: Scaled, target: Tensor, readers: Sequence[ReadGradient]) -> None:
        self.scaled = scaled
        parameter: Any = scaled.module._parameters[scaled.name]
        self.parameter: nn.Parameter = parameter
        self.handle: RemovableHandle = parameter.register_post_accumulate_grad_hook(self)
        self.read = torch.zeros_like(target)
        self._target = target
        self._readers = readers
        self._over = [dim for dim in range(parameter.ndim) if dim not in scaled.dims]
        units, unit_of = len(target), scaled.unit_of
        self._in_a_row = np.array_equal(unit_of, np.repeat(np.arange(units), len(unit_of) // units))
        # The last place is for entries of no unit.
        self._places = torch.from_numpy(np.where(unit_of < 0, units, unit_of)).to(target.device)
        self.begin_step()

    def begin_step(self) -> None:
        """Forget what was read in the step before."""
        self._newest: TensorWeakRef | None = None
        self._passes_before: Tensor | None = None

    def __call__(self, parameter: Tensor) -> None:
        """Put the units' gradients into the target (units,)."""
        gradient = parameter.grad
        if gradient is None:  # given away in the same backward pass, as optimizers that step in it do
            return
        # On a GPU every operation costs more than its numbers.
        with torch.no_grad():
            into = self._target if len(self._readers) == 1 else self.read
            if self._newest is not None and self._newest() is not gradient:
                self._passes_before = into.clone()
            self._newest = TensorWeakRef(gradient)
            product = parameter * gradient
            entries = product.sum(self._over, dtype=torch.float32) if self._over else product.float()
            if self._in_a_row:
                torch.sum(entries.reshape(len(into), -1), 1, out=into)
            else:
                into.copy_(entries.new_zeros(len(into) + 1).index_add_(0, self._places, entries.reshape(-1))[:-1])
            if self._passes_before is not None:
                into.add_(self._passes_before)
            if into is self.read:
                torch.sum(torch.stack([reader.read for reader in self._readers]), 0, out=self._target)


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
    elif type(module) in (nn.Linear, Conv1D):
        inputs_last = type(module) is nn.Linear
        found = [Scaled(module, "weight", (int((target.place == "after") == inputs_last),), target.unit_of)]
        if target.place == "before" and module.bias is not None:
            found.append(Scaled(module, "bias", (0,), target.unit_of))
    parameters = [each.module._parameters.get(each.name) for each in found]
    readable = all(type(own) is nn.Parameter and own.requires_grad and not own._backward_hooks for own in parameters)
    return tuple(found) if readable else ()


def read_gradients(scaled: Sequence[Scaled], leaf: Tensor) -> list[ReadGradient]:
    """Let the gradient of coefficients (units,) be read at every backward pass."""
    assert leaf.grad is not None
    readers: list[ReadGradient] = []
    for each in scaled:
        readers.append(ReadGradient(each, leaf.grad, readers))
    return readers


def is_read(reader: ReadGradient) -> bool:
    """Whether a reader still sees the gradients of its parameter: not if that was frozen, or is another one now."""
    parameter = reader.parameter
    hooks = parameter._post_accumulate_grad_hooks or {}
    in_place = reader.scaled.module._parameters.get(reader.scaled.name) is parameter
    return bool(parameter.requires_grad) and in_place and any(hook is reader for hook in hooks.values())
