"""What the forward pass of an attention returns beside its features, seen while it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from earlybird.anatomy import AttentionBlock, Block
from earlybird.errors import InputError


class Returns:
    """How many things each class of attention returns: 0 where it is the features alone, n for a tuple of n."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._by_class: dict[type[nn.Module], int] = {}

    def __call__(self, module: nn.Module, _: tuple[Any, ...], output: Any) -> None:
        """Forward hook of an attention."""
        if isinstance(output, Tensor):
            self._by_class[type(module)] = 0
        elif isinstance(output, tuple) and output and isinstance(output[0], Tensor):
            self._by_class[type(module)] = len(output)

    def of(self, block: Block) -> int:
        """Of one that loses its last head; 0 for an MLP.

        Raises:
            InputError: it has not run, or returned something else.
        """
        if not isinstance(block, AttentionBlock):
            return 0
        owner = type(self._model.get_submodule(block.owner))
        if owner not in self._by_class:
            raise InputError(
                f"{block.name} cannot lose its last head: nothing is known of what {owner.__name__} returns; check it"
                " on a batch of yours, prune(model, ticket, inputs=batch), or keep a head of it (whole_blocks=False)"
            )
        return self._by_class[owner]


@contextlib.contextmanager
def returns_seen(model: nn.Module, emptied: Sequence[Block]) -> Iterator[Returns]:
    """What the attention blocks among those that lose their last unit return when they run."""
    returns = Returns(model)
    owners = [model.get_submodule(block.owner) for block in emptied if isinstance(block, AttentionBlock)]
    handles = [owner.register_forward_hook(returns) for owner in owners]
    try:
        yield returns
    finally:
        for handle in handles:
            handle.remove()
