"""The newest batches that a model has trained on, to run it on them once more."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from earlybird.anatomy.wrappers import called


@dataclass(frozen=True)
class Call:
    """One call of a model's forward pass, to be made again."""

    inputs: tuple[Any, ...]
    named: Mapping[str, Any]

    @property
    def bytes(self) -> int:
        """Of all tensors."""
        leaves = tree_leaves((self.inputs, dict(self.named)))
        return sum(leaf.nbytes for leaf in leaves if isinstance(leaf, Tensor))

    def __call__(self, model: nn.Module) -> Any:
        """Make it."""
        return model(*self.inputs, **self.named)


class KeptBatches:
    """Keeps what a model was called with in its newest training steps, whatever loop, loss and loader there are.

    Nothing is read twice from a loader, so that neither its order nor any random state is touched.

    Args:
        model: that trains, with or without what wraps it.
        count: of the calls kept; of accumulated gradients each backward pass has one. Of large batches, as of images,
            fewer are kept, which hold more tokens than a refit needs.
        most_bytes: of all calls kept, unless the newest takes more.

    Attributes:
        calls: the newest, the oldest first.
    """

    def __init__(self, model: nn.Module, count: int, *, most_bytes: int = 1 << 28) -> None:
        self._most_bytes = most_bytes
        self.calls: deque[Call] = deque(maxlen=count)
        self._handle = called(model).register_forward_pre_hook(self._keep, with_kwargs=True)

    def close(self) -> None:
        """Keep no more; what was kept stays."""
        self._handle.remove()

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # which would compile it anew for every batch kept
    def _keep(self, model: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        if model.training and torch.is_grad_enabled():
            # Copied: a loop may use the memory of a batch again.
            call = Call(*tree_map_only(Tensor, lambda tensor: tensor.detach().clone(), (inputs, named)))
            self.calls.append(call)
            while len(self.calls) > 1 and sum(each.bytes for each in self.calls) > self._most_bytes:
                self.calls.popleft()
