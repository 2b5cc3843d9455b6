"""Ways to train slimming coefficients, in their shortest form: the columns of equally large weights are scaled."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


class Kind:
    """The coefficients of the heads, or of the neurons, of a model whose blocks have equally many.

    Attributes:
        modules: whose weight's columns they scale.
        values: (layers, units), as deviations from 1.
        gradient: (layers, units), that of the loss.
    """

    def __init__(self, modules: Sequence[nn.Linear], units: int) -> None:
        self.modules = modules
        self.values = nn.Parameter(torch.zeros(len(modules), units))
        self.gradient = torch.zeros(len(modules), units)

    def leaves(self, of: Tensor) -> list[Tensor]:
        """Of each block a leaf of the autograd graph, (units,): a view, and so is its gradient."""
        leaves = [of.detach()[block].requires_grad_(True) for block in range(len(of))]
        for leaf, row in zip(leaves, self.gradient, strict=True):
            leaf.grad = row
        return leaves


class Way:
    """A way to train the coefficients of a kind: what it does between the parts of a step."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def before_forward(self) -> None:
        """Before the forward pass."""

    def after_backward(self) -> None:
        """Before the weights move."""

    def after_step(self) -> None:
        """After weights and coefficients have moved."""


class Spread(Way):
    """(a) A hook scales the weight, by 1 + deviation spread over the columns: `scaling.py` as of a13d4ab."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind)
        for module, leaf in zip(kind.modules, self.leaves(), strict=True):
            module.register_forward_pre_hook(partial(self.shadow, leaf))
            module.register_forward_hook(unshadow, always_call=True)

    def leaves(self) -> list[Tensor]:
        return self.kind.leaves(self.kind.values)

    def shadow(self, leaf: Tensor, module: nn.Module, inputs: Any) -> None:
        module.__dict__["weight"] = self.scaled(module._parameters["weight"], leaf)

    def scaled(self, weight: Tensor, leaf: Tensor) -> Tensor:
        width = weight.shape[1] // len(leaf)
        scale = 1 + leaf
        return weight * (scale if width == 1 else scale[:, None].expand(-1, width).reshape(-1))


class ByUnits(Spread):
    """(b) The weight is seen as (rows, units, width), so that nothing is spread or summed twice: as today."""

    def scaled(self, weight: Tensor, leaf: Tensor) -> Tensor:
        return by_units(weight, 1 + leaf)


class OnceAStep(Spread):
    """(b) And 1 + deviation is taken once a step for all blocks, whose leaves are views of it."""

    def leaves(self) -> list[Tensor]:
        self.scales = 1 + self.kind.values.detach()
        return self.kind.leaves(self.scales)

    def scaled(self, weight: Tensor, leaf: Tensor) -> Tensor:
        return by_units(weight, leaf)

    def after_step(self) -> None:
        torch.add(self.kind.values.detach(), 1, out=self.scales.detach())


class OwnFunction(OnceAStep):
    """(b) And forward and backward are an autograd function of our own."""

    def scaled(self, weight: Tensor, leaf: Tensor) -> Tensor:
        return _ScaleColumns.apply(weight, leaf)


class _ScaleColumns(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(weight, scale)
        return by_units(weight, scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        weight, scale = ctx.saved_tensors
        product = (gradient * weight).view(len(gradient), len(scale), -1)
        return by_units(gradient, scale), product.sum((0, 2))


class Foreach(OnceAStep):
    """(c) One `torch._foreach_mul` scales all weights before the forward pass."""

    def __init__(self, kind: Kind) -> None:
        Way.__init__(self, kind)
        self.own = self.leaves()
        for module in kind.modules:
            module.register_forward_hook(unshadow, always_call=True)

    def before_forward(self) -> None:
        weights = [module._parameters["weight"] for module in self.kind.modules]
        by_units = [weight.unflatten(1, (self.kind.values.shape[1], -1)) for weight in weights]
        products = torch._foreach_mul(by_units, [leaf[:, None] for leaf in self.own])
        for module, product in zip(self.kind.modules, products, strict=True):
            module.__dict__["weight"] = product.flatten(1)


class Stacked(OnceAStep):
    """(c) All weights are stacked before the forward pass, and scaled as one."""

    def __init__(self, kind: Kind) -> None:
        Way.__init__(self, kind)
        self.scales = (1 + kind.values.detach()).requires_grad_(True)
        self.scales.grad = kind.gradient
        for module in kind.modules:
            module.register_forward_hook(unshadow, always_call=True)

    def before_forward(self) -> None:
        stacked = torch.stack([module._parameters["weight"] for module in self.kind.modules])
        product = stacked.unflatten(2, (self.kind.values.shape[1], -1)) * self.scales[:, None, :, None]
        for module, scaled in zip(self.kind.modules, product.flatten(2).unbind(), strict=True):
            module.__dict__["weight"] = scaled


class Folded(OnceAStep):
    """(d) The weight is stored scaled; its gradient is read and mended, and it is unscaled for the optimizer's step.

    The optimizer's decay and its moments are then those of the plain weight.
    """

    def __init__(self, kind: Kind) -> None:
        Way.__init__(self, kind)
        self.scales = 1 + kind.values.detach()

    @torch.no_grad()
    def after_backward(self) -> None:
        weights, gradients = self.parts()
        scales = [row[:, None] for row in self.scales]
        for own, product in zip(self.kind.gradient, torch._foreach_mul(weights, gradients), strict=True):
            torch.sum(product, (0, 2), out=own)
        self.kind.gradient.div_(self.scales)
        torch._foreach_mul_(gradients, scales)
        torch._foreach_div_(weights, scales)

    @torch.no_grad()
    def after_step(self) -> None:
        super().after_step()
        torch._foreach_mul_(self.parts()[0], [row[:, None] for row in self.scales])

    def parts(self) -> tuple[list[Tensor], list[Tensor]]:
        """Weights and their gradients by units."""
        shape = self.kind.values.shape[1], -1
        weights = [module.weight for module in self.kind.modules]
        return [weight.unflatten(1, shape) for weight in weights], [
            weight.grad.unflatten(1, shape) for weight in weights
        ]


def by_units(weight: Tensor, scale: Tensor) -> Tensor:
    """A weight (rows, units x width) times a scale (units,)."""
    if len(scale) == weight.shape[1]:
        return weight * scale
    return (weight.unflatten(1, (len(scale), -1)) * scale[:, None]).flatten(1)


def unshadow(module: nn.Module, inputs: Any, output: Any) -> None:
    """A forward hook that takes the scaled weight away."""
    module.__dict__.pop("weight", None)


WAYS: dict[str, type[Way]] = {
    "a: spread in hooks": Spread,
    "b: by units in hooks": ByUnits,
    "b: scales once a step": OnceAStep,
    "b: own autograd function": OwnFunction,
    "c: foreach": Foreach,
    "c: stacked": Stacked,
    "d: folded": Folded,
}
