"""One learnable coefficient per unit on a model, without touching the model's code or its parameters.

A head's coefficient scales what the head feeds into the output projection (`slim="after"`: its softmax
output) or its query (`slim="before"`: its pre-softmax scores); a neuron's scales its activation (`"after"`) or
what enters the activation function (`"before"`). All four are inputs or outputs of one linear module, LoRA's
matrices beside it included, so they work under any attention kernel, and folding multiplies the coefficients into
that module's weights. docs/slimming.md says what they can be combined with.

The coefficients are no parameters of the model: they do not enter gradient clipping, weight decay, the state
dict or a saved checkpoint. They are stored as deviations from 1 in float32 whatever the model's dtype, because
around 1 a bfloat16 steps by 0.008 and a coefficient would never move (network slimming, Liu et al. 2017, arXiv
1708.06519; EarlyBERT, Chen et al. 2021, arXiv 2101.00063).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from earlybird.anatomy import Anatomy
from earlybird.errors import InputError
from earlybird.processes import average
from earlybird.scaling import fold, is_scaled, scale_input, scale_output, unshadow_parameters
from earlybird.trajectory import Kind
from earlybird.wrappers import forget_compiled_code, unwrapped

Place = Literal["after", "before"]


@dataclass(frozen=True)
class _Target:
    """Where a block's coefficients act: the input features (after) or output features (before) of a module."""

    path: str
    module: nn.Module
    units: int
    unit_of: NDArray[np.int64]
    place: Place


class Deviations:
    """The coefficients of one kind as deviations from 1: one float32 buffer, one gradient buffer.

    Each block's deviations are a leaf of the autograd graph that is a view into the buffer, and its gradient a
    view into the gradient buffer: one optimizer step, one copy to the host, one reduction over processes serve
    all blocks.
    """

    def __init__(self, units: Sequence[int], device: torch.device) -> None:
        self.units = tuple(units)
        shape = (len(self.units), max(self.units))
        self.values = nn.Parameter(torch.zeros(shape, dtype=torch.float32, device=device))
        self.values.grad = torch.zeros_like(self.values)
        self._real = torch.arange(shape[1], device=device) < torch.tensor(self.units, device=device)[:, None]
        self.leaves = []
        for block, count in enumerate(self.units):
            leaf = self.values.detach()[block, :count].requires_grad_(True)
            leaf.grad = self.values.grad[block, :count]
            self.leaves.append(leaf)

    @property
    def gradient(self) -> Tensor:
        """The gradient buffer, (layers, widest block): the blocks' gradients are views into it."""
        assert self.values.grad is not None
        return self.values.grad

    def gradient_magnitude(self, l1: float) -> Tensor:
        """Magnitude of the task's gradient, (layers, widest block); padding is 0.

        Args:
            l1: weight of the L1 penalty whose own gradient, l1 x sign(coefficient), is in the buffer and is
                taken off again.
        """
        gradient = self.gradient - self.penalty_gradient(l1) if l1 else self.gradient
        return gradient.abs()

    def penalty_gradient(self, l1: float) -> Tensor:
        """Gradient of l1 x sum |coefficient|, (layers, widest block); padding is 0."""
        return l1 * torch.sign(1 + self.values.detach()) * self._real

    def task_gradient_arrived(self) -> bool:
        """Whether the task's gradient is in the buffer, while all coefficients are as they were at the start.

        The penalty's alone is the same for all units then; a single unit is not told apart.
        """
        gradient = self.gradient[self._real]
        return gradient.numel() == 1 or bool((gradient != gradient[0]).any())

    def magnitude_sum(self) -> Tensor:
        """Sum of |coefficient| over all units, a differentiable scalar."""
        # By the buffer as a whole, whose gradient the leaves' are views into: on a GPU a kernel costs more than units.
        return ((1 + self.values).abs() * self._real).sum()


class Slimming:
    """Coefficients attached to a model: penalty, fold, detach.

    Args:
        model: already on the device where it trains.
        anatomy: of the model.
        kinds: which kinds of unit get coefficients.
        slim: where a head's coefficient acts.
        neuron_slim: where a neuron's coefficient acts.

    Raises:
        InputError: the model is spread over several devices, has coefficients already, or has blocks whose
            coefficients cannot act "before" (queries normalised after their projection, a position bias added to
            the scores, a gated MLP).
    """

    def __init__(
        self,
        model: nn.Module,
        anatomy: Anatomy,
        *,
        kinds: Sequence[Kind] = ("heads", "neurons"),
        slim: Place = "after",
        neuron_slim: Place = "after",
    ) -> None:
        for name, place in (("slim", slim), ("neuron_slim", neuron_slim)):
            if place not in ("after", "before"):
                raise InputError(f'{name} must be "after" or "before", got {place!r}')
        self._model = unwrapped(model)
        targets_of = {
            kind: _targets(self._model, anatomy, kind, slim if kind == "heads" else neuron_slim) for kind in kinds
        }
        devices = {next(site.module.parameters()).device for sites in targets_of.values() for site in sites}
        if len(devices) != 1:
            raise InputError(f"the model's blocks lie on several devices ({', '.join(map(str, devices))}); use one")
        if any(is_scaled(site.module) for sites in targets_of.values() for site in sites):
            raise InputError("the model has slimming coefficients already: finish or detach the search that owns them")
        device = devices.pop()
        self.deviations = {
            kind: Deviations([site.units for site in sites], device) for kind, sites in targets_of.items()
        }
        self._targets = [site for sites in targets_of.values() for site in sites]
        self._handles: list[RemovableHandle] = []
        for kind, sites in targets_of.items():
            for site, leaf in zip(sites, self.deviations[kind].leaves, strict=True):
                scale = scale_input if site.place == "after" else scale_output
                self._handles += scale(site.module, leaf, site.unit_of)
        forget_compiled_code()

    def check_attached(self) -> None:
        """Refuse if a projection is no longer the module that its coefficients were attached to.

        Raises:
            InputError: an adapter was put around it, or merged into it, in the meantime.
        """
        for target in self._targets:
            if self._model.get_submodule(target.path) is not target.module:
                raise InputError(
                    f"{target.path} is another module than the one that the slimming coefficients were attached to: put"
                    " adapters on the model before the search begins and merge them after its finish(); to go on,"
                    " detach() this search and make a new one"
                )

    def average_gradients(self) -> None:
        """Average the gradients over the processes: the coefficients belong to no wrapped model that would."""
        for deviations in self.deviations.values():
            average(deviations.gradient)

    def penalty(self, heads: float, neurons: float) -> Tensor:
        """L1 penalty: heads x sum |head coefficients| + neurons x sum |neuron coefficients|; a scalar."""
        weights: dict[Kind, float] = {"heads": heads, "neurons": neurons}
        return torch.stack([weights[kind] * values.magnitude_sum() for kind, values in self.deviations.items()]).sum()

    def fold(self) -> None:
        """Multiply the coefficients into the weights that they scale, and take them off: outputs stay the same.

        Raises:
            InputError: see `check_attached`.
        """
        if self._handles:
            self.check_attached()
            fold(self._model)
            self._handles.clear()
            forget_compiled_code()

    def detach(self) -> None:
        """Take the coefficients off the model without folding them."""
        for handle in self._handles:
            handle.remove()
        for target in self._targets:
            unshadow_parameters(target.module)
        self._handles.clear()
        forget_compiled_code()


def _targets(model: nn.Module, anatomy: Anatomy, kind: Kind, place: Place) -> list[_Target]:
    if kind not in anatomy.units:
        raise InputError(anatomy.lack_of(kind))
    places = []
    for block in anatomy.attention if kind == "heads" else anatomy.mlp:
        site = block.after if place == "after" else block.before
        if site.refusal:
            argument = "slim" if kind == "heads" else "neuron_slim"
            raise InputError(
                f'{argument}="before" does not work for {block.name}: {site.refusal}; use {argument}="after"'
            )
        module = model.get_submodule(site.path)
        places.append(_Target(site.path, module, block.units, site.unit_of, place))
    return places
