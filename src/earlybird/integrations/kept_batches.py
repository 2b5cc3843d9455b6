"""The newest batches that a model has trained on, to run it on them once more."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only


@dataclass(frozen=True)
class Call:
    """One call of a model's forward pass, to be made again."""

    inputs: tuple[Any, ...]
    named: Mapping[str, Any]

    def __call__(self, model: nn.Module) -> Any:
        """Make it."""
        return model(*self.inputs, **self.named)


class KeptBatches:
    """Keeps what a model was called with in its newest training steps, whatever loop, loss and loader there are.

    Nothing is read twice from a loader, so that neither its order nor any random state is touched.

    Args:
        model: that trains.
        count: of the calls kept; of accumulated gradients each backward pass has one.

    Attributes:
        calls: the newest, the oldest first.
    """

    def __init__(self, model: nn.Module, count: int) -> None:
        self.calls: deque[Call] = deque(maxlen=count)
        self._handle = model.register_forward_pre_hook(self._keep, with_kwargs=True)

    def close(self) -> None:
        """Keep no more; what was kept stays."""
        self._handle.remove()

    def _keep(self, model: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        if model.training and torch.is_grad_enabled():
            # Copied: a loop may use the memory of a batch again.
            self.calls.append(Call(*tree_map_only(Tensor, lambda tensor: tensor.detach().clone(), (inputs, named))))
