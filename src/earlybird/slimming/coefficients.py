"""The slimming coefficients of one kind of unit, and their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from earlybird.errors import InputError


class SlimmingCoefficients:
    """The coefficients of one kind, and the task's and the penalty's gradient apart.

    They are stored as deviations from 1. Each block's are a leaf of the autograd graph that is a view into `values`,
    and its gradient a view into `task_gradient`: one optimizer step, one copy to the host, one reduction over processes
    serve all blocks. The penalty is taken on `values` as a whole, so its gradient is that of `values`. However a loop
    weighs and accumulates the two, what a gradient score sees is the task's alone.

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

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Coefficients of their own for a copied model, whose hooks hold copies of the leaves."""
        copied = type(self)(self.units, self.values.device)
        # What was copied before these, with the model's hooks or the optimizer, keeps its identity.
        copied.values = memo.setdefault(id(self.values), copied.values)
        with torch.no_grad():
            copied.values.copy_(self.values)
            copied.gradients.copy_(self.gradients)
        copied.values.grad = copied.penalty_gradient
        copied.leaves = [memo.setdefault(id(leaf), new) for leaf, new in zip(self.leaves, copied.leaves, strict=True)]
        for block, (leaf, gradient) in enumerate(zip(copied.leaves, copied._own_gradients, strict=True)):
            leaf.data = copied.values.detach()[block, : self.units[block]]
            leaf.grad = gradient
        return copied

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
