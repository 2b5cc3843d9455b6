"""One learnable coefficient per unit on a model, without touching the model's code or its parameters.

A head's coefficient scales what the head feeds into the output projection (`slim="after"`: its softmax
output) or its query (`slim="before"`: its pre-softmax scores); a neuron's scales its activation (`"after"`) or
what enters the activation function (`"before"`). An expert's scales what it gives, by the weight that the router
multiplies that with. The first four are inputs or outputs of one linear module, LoRA's
matrices beside it included, so they work under any attention kernel, and folding multiplies the coefficients into
that module's weights. docs/slimming.md says what they can be combined with.

The coefficients are no parameters of the model: they do not enter gradient clipping, weight decay, the state
dict or a saved checkpoint. They are stored as deviations from 1 in float32 whatever the model's dtype, because
around 1 a bfloat16 steps by 0.008 and a coefficient would never move (network slimming, Liu et al. 2017, arXiv
1708.06519; EarlyBERT, Chen et al. 2021, arXiv 2101.00063).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from earlybird.anatomy import Anatomy, MlpBlock
from earlybird.anatomy.distributed import average
from earlybird.anatomy.shared_parameters import refuse_shared_parameters
from earlybird.anatomy.wrappers import forget_compiled_code, unwrapped
from earlybird.errors import InputError
from earlybird.slimming.coefficients import SlimmingCoefficients
from earlybird.slimming.scaling import (
    fold,
    is_scaled,
    look_at_precision,
    scale_experts,
    scale_input,
    scale_output,
    scale_parameter,
    unshadow_parameters,
)
from earlybird.slimming.target import Target
from earlybird.slimming.weight_gradients import ReadGradient, read_gradients, reads, scaled_parameters
from earlybird.vocabulary import Kind, Place


class Slimming:
    """Coefficients attached to a model: penalty, fold, detach.

    Args:
        model: already on the device where it trains.
        anatomy: of the model.
        kinds: which kinds of unit get coefficients.
        places: where the coefficients of each kind act; by default after the softmax and the activation function.
        fixed: whether they stay at 1, and only their gradients are wanted. Where the weight that they would scale has
            a gradient of its own, theirs is read from it, see `weight_gradients`.
        float16: whether it is known what a loss in float16 is scaled by.

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
        places: Mapping[Kind, Place] = MappingProxyType({}),
        fixed: bool = False,
        float16: bool = False,
    ) -> None:
        self._model = unwrapped(model)
        targets_of = {kind: _targets(self._model, anatomy, kind, places.get(kind, "after")) for kind in kinds}
        devices = {next(site.module.parameters()).device for sites in targets_of.values() for site in sites}
        if len(devices) != 1:
            raise InputError(f"the model's blocks lie on several devices ({', '.join(map(str, devices))}); use one")
        if any(is_scaled(site.module) or reads(site.module) for sites in targets_of.values() for site in sites):
            raise InputError("the model has slimming coefficients already: finish or detach the search that owns them")
        blocks = [block for kind in kinds for block in anatomy.of_kind(kind)]
        own = {name for name, _ in self._model.named_parameters(remove_duplicate=False)}
        parts = [part.parameter for block in blocks for part in block.parts]
        refuse_shared_parameters(self._model, (name for name in parts if name in own))
        device = devices.pop()
        self.coefficients = {
            kind: SlimmingCoefficients([site.units for site in sites], device) for kind, sites in targets_of.items()
        }
        self._fixed, self._float16 = fixed, float16
        self._attached = [
            self._attach(site, leaf)
            for kind, sites in targets_of.items()
            for site, leaf in zip(sites, self.coefficients[kind].leaves, strict=True)
        ]
        forget_compiled_code()

    @property
    def attached(self) -> bool:
        """Whether the coefficients act on the model: not any more once they were folded or taken off."""
        return bool(self._attached)

    def check_attached(self) -> None:
        """Refuse if a projection is no longer the module that its coefficients were attached to.

        Raises:
            InputError: an adapter was put around it, or merged into it, in the meantime.
        """
        for target in (each.target for each in self._attached):
            if self._model.get_submodule(target.path) is not target.module:
                raise InputError(
                    f"{target.path} is another module than the one that the slimming coefficients were attached to: put"
                    " adapters on the model before the search begins and merge them after its finish(); to go on,"
                    " detach() this search and make a new one"
                )

    def average_gradients(self) -> None:
        """Average the gradients over the processes: the coefficients belong to no wrapped model that would."""
        for coefficients in self.coefficients.values():
            average(coefficients.gradients)

    def discard_gradients(self) -> None:
        """Forget the gradients since the last step."""
        for coefficients in self.coefficients.values():
            coefficients.gradients.zero_()

    def unscale_gradients(self, scale: float) -> None:
        """Divide the gradients of the loss by what it was scaled by."""
        for coefficients in self.coefficients.values():
            coefficients.task_gradient.div_(scale)

    def penalty(self, weights: Mapping[Kind, float]) -> Tensor:
        """L1 penalty: for each kind its weight x sum |coefficient|; a scalar."""
        return torch.stack([weights[kind] * values.magnitude_sum() for kind, values in self.coefficients.items()]).sum()

    def fold(self) -> None:
        """Multiply the coefficients into the weights that they scale, and take them off: outputs stay the same.

        Raises:
            InputError: see `check_attached`.
        """
        if self._attached:
            self.check_attached()
            for each in self._attached:
                fold(each.target.module)
            self._take_off()

    def detach(self) -> None:
        """Take the coefficients off the model without folding them."""
        for each in self._attached:
            unshadow_parameters(each.target.module)
        self._take_off()

    def follow_weights(self) -> None:
        """Where a weight whose gradients are read was frozen or replaced, look for the coefficients' gradients anew.

        Those of the step in which that is found are missing.
        """
        for place, each in enumerate(self._attached):
            if not all(reader.still_reads() for reader in each.readers):
                self._attach_anew(place)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Coefficients on a copied model, which comes with those hooks alone that scale."""
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        vars(copied).update({name: copy.deepcopy(value, memo) for name, value in vars(self).items()})
        for place in range(len(copied._attached)):
            copied._attach_anew(place)
        return copied

    def _attach(self, target: Target, leaf: Tensor) -> _Attached:
        look = look_at_precision(target.module, leaf, float16=self._float16)
        scaled = scaled_parameters(target) if self._fixed else ()
        if not scaled:
            return _Attached(target, leaf, [look, *_scale(target, leaf)])
        readers = read_gradients(scaled, leaf)
        return _Attached(target, leaf, [look, *(handle for each in readers for handle in each.handles)], readers)

    def _attach_anew(self, place: int) -> None:
        each = self._attached[place]
        each.remove()
        self._attached[place] = self._attach(each.target, each.leaf)
        forget_compiled_code()

    def _take_off(self) -> None:
        for each in self._attached:
            each.remove()
        self._attached.clear()
        forget_compiled_code()


@dataclass(frozen=True, eq=False)
class _Attached:
    """The coefficients of a block on a model: what takes them off, and what reads their gradients, if a weight does."""

    target: Target
    leaf: Tensor
    handles: list[RemovableHandle]
    readers: tuple[ReadGradient, ...] = ()

    def remove(self) -> None:
        """Take them off."""
        for handle in self.handles:
            handle.remove()


def _scale(site: Target, leaf: Tensor) -> list[RemovableHandle]:
    """Let coefficients act at a site; returns what takes them off again."""
    if site.part is not None:
        return scale_parameter(site.module, site.parameter, leaf, site.part)
    if site.unit_of is None:
        return scale_experts(site.module, leaf)
    return (scale_input if site.place == "after" else scale_output)(site.module, leaf, site.unit_of)


def _targets(model: nn.Module, anatomy: Anatomy, kind: Kind, place: Place) -> list[Target]:
    if kind not in anatomy.units:
        raise InputError(anatomy.lack_of(kind))
    if kind == "experts":
        return [Target(block.name, model.get_submodule(block.name), block.units) for block in anatomy.mixtures]
    places = []
    for block in anatomy.attention if kind == "heads" else anatomy.mlp:
        site = block.after if place == "after" else block.before
        if site.refusal:
            argument = "slim" if kind == "heads" else "neuron_slim"
            raise InputError(
                f'{argument}="before" does not work for {block.name}: {site.refusal}; use {argument}="after"'
            )
        module = model.get_submodule(site.path)
        part = block.entering_output if isinstance(block, MlpBlock) and block.experts else None
        places.append(Target(site.path, module, block.units, site.unit_of, place, site.parameter, part))
    return places
