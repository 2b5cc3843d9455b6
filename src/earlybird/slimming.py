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
from earlybird.shared_parameters import refuse_shared_parameters
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
    """The coefficients of one kind as deviations from 1, and the task's and the penalty's gradient apart.

    Each block's deviations are a leaf of the autograd graph that is a view into `values`, and its gradient a view into
    `task_gradient`: one optimizer step, one copy to the host, one reduction over processes serve all blocks. The
    penalty is taken on `values` as a whole, so its gradient is that of `values`. However a loop weighs and accumulates
    the two, what a gradient score sees is the task's alone.

    Attributes:
        values: (layers, widest block) float32; padding is 0, as in the gradients.
        task_gradient: of the loss without the penalty.
        penalty_gradient: of the penalty.
    """

    def __init__(self, units: Sequence[int], device: torch.device) -> None:
        self.units = tuple(units)
        shape = (len(self.units), max(self.units))
        self.values = nn.Parameter(torch.zeros(shape, dtype=torch.float32, device=device))
        self.gradients = torch.zeros((2, *shape), dtype=torch.float32, device=device)
        self.task_gradient, self.penalty_gradient = self.gradients
        self.values.grad = self.penalty_gradient
        self._real = torch.arange(shape[1], device=device) < torch.tensor(self.units, device=device)[:, None]
        self.leaves = []
        for block, count in enumerate(self.units):
            leaf = self.values.detach()[block, :count].requires_grad_(True)
            leaf.grad = self.task_gradient[block, :count]
            self.leaves.append(leaf)
        self._own_gradients = [leaf.grad for leaf in self.leaves]

    def check_gradients(self) -> None:
        """Refuse gradients that were not accumulated where they are looked for.

        Raises:
            InputError: another tensor stands in the place of a gradient.
        """
        kept = all(leaf.grad is own for leaf, own in zip(self.leaves, self._own_gradients, strict=True))
        if not kept or self.values.grad is not self.penalty_gradient:
            raise InputError(
                "the gradients of the slimming coefficients were replaced instead of accumulated, as"
                " backward(create_graph=True) does: take second derivatives with torch.autograd.grad, and let"
                " backward() of the loss build no graph"
            )

    def add_penalty_gradient(self, l1: float) -> None:
        """Add the gradient of l1 x sum |coefficient|."""
        self.penalty_gradient.add_(l1 * torch.sign(1 + self.values.detach()) * self._real)

    def blocks_reached(self) -> list[bool]:
        """Of every block, whether a gradient of the task is there."""
        reached: list[bool] = (self.task_gradient != 0).any(dim=1).tolist()
        return reached

    def magnitude_sum(self) -> Tensor:
        """Sum of |coefficient| over all units, a differentiable scalar."""
        # By the buffer as a whole: on a GPU a kernel costs more than units.
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
        InputError: the model is spread over several devices, has coefficients already, shares a parameter that would be
            cut between modules, or has blocks whose coefficients cannot act "before" (queries normalised after their
            projection, a position bias added to the scores, a gated MLP).
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
        blocks = [block for kind in kinds for block in (anatomy.attention if kind == "heads" else anatomy.mlp)]
        refuse_shared_parameters(self._model, (part.parameter for block in blocks for part in block.parts))
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

    @property
    def attached(self) -> bool:
        """Whether the coefficients act on the model: not any more once they were folded or taken off."""
        return bool(self._handles)

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
            average(deviations.gradients)

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
