"""Biases of attention scores that come from outside the attention, once layers keep different heads.

A bias with an entry for every head is handed to each attention in two ways. Either the model computes it for
all heads (ALiBi, MPNet): then a pruned attention takes the entries of the heads that it has kept, which a buffer
lists, saved with the weights. Or the first layer computes it for its own heads and hands it on (T5): then every
layer gets the columns of its own heads of the table, and computes its own.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from earlybird.anatomy import AttentionBlock
from earlybird.anatomy.bias_tables import TABLE
from earlybird.anatomy.patterns import KEPT_HEADS, PER_HEAD_ARGUMENTS
from earlybird.anatomy.source_code import argument_names

MASK = "attention_mask"


class SelectHeads:
    """Forward pre-hook: of biases and masks for all heads, what belongs to the heads kept.

    The buffer `kept_heads` (heads,) int64 of the attention lists the heads kept.

    Args:
        module: the attention.
        heads: how many the biases are for.
    """

    def __init__(self, module: nn.Module, heads: int) -> None:
        self.heads = heads
        names = argument_names(module)
        self.places = {name: names.index(name) for name in (*PER_HEAD_ARGUMENTS, MASK) if name in names}

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The arguments, those with an entry for every head cut to the heads kept."""
        kept = module.get_buffer(KEPT_HEADS)
        positional = list(inputs)
        for name, place in self.places.items():
            if place < len(inputs):
                positional[place] = self._selected(name, inputs[place], kept)
            elif name in named:
                named = {**named, name: self._selected(name, named[name], kept)}
        return tuple(positional), named

    def _selected(self, name: str, bias: Any, kept: Tensor) -> Any:
        """A bias (..., heads, queries, keys), or (batch x heads, queries, keys), or a mask (batch, heads, ...)."""
        if not isinstance(bias, Tensor) or bias.ndim < 3 or bias.shape[-3] % self.heads:
            return bias
        if name == MASK and (bias.ndim != 4 or bias.shape[1] != self.heads):
            return bias  # the same for all heads
        *batch, heads, queries, keys = bias.shape
        by_head = bias.reshape(*batch, heads // self.heads, self.heads, queries, keys).index_select(-3, kept)
        return by_head.flatten(-4, -3)


class ComputeOwnBias:
    """Forward pre-hook: no bias from the layer before, so that the attention computes its own."""

    def __init__(self, module: nn.Module, argument: str) -> None:
        self.argument = argument
        self.place = argument_names(module).index(argument)

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The arguments without the bias."""
        if self.place < len(inputs):
            return (*inputs[: self.place], None, *inputs[self.place + 1 :]), named
        return inputs, {**named, self.argument: None}


def bias_heads(module: nn.Module, heads: int) -> int:
    """How many heads the bias that an attention is handed has: its own, or more since it takes its part of it."""
    return next((hook.heads for hook in module._forward_pre_hooks.values() if isinstance(hook, SelectHeads)), heads)


def is_untied(module: nn.Module) -> bool:
    """Whether an attention has been made independent of other layers' heads already."""
    return any(isinstance(hook, (SelectHeads, ComputeOwnBias)) for hook in module._forward_pre_hooks.values())


def untie(model: nn.Module, block: AttentionBlock) -> None:
    """Make an attention's bias independent of which heads other layers keep; its outputs stay what they are."""
    module = model.get_submodule(block.owner)
    if not block.bias_argument or is_untied(module):
        return
    if block.hands_on_bias:
        if block.bias_table:
            setattr(module, TABLE, copy.deepcopy(model.get_submodule(block.bias_table)))
            module.has_relative_attention_bias = True  # type: ignore[assignment]
        module.register_forward_pre_hook(ComputeOwnBias(module, block.bias_argument), with_kwargs=True)
        return
    device = next(module.parameters()).device
    module.register_buffer(KEPT_HEADS, torch.arange(block.units, device=device))
    module.register_forward_pre_hook(SelectHeads(module, block.units), with_kwargs=True)


def tie_again(model: nn.Module, block: AttentionBlock) -> None:
    """Undo `untie`."""
    module = model.get_submodule(block.owner)
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, (SelectHeads, ComputeOwnBias)):
            del module._forward_pre_hooks[key]
            module._forward_pre_hooks_with_kwargs.pop(key, None)
    module._buffers.pop(KEPT_HEADS, None)
    module._non_persistent_buffers_set.discard(KEPT_HEADS)
    if block.bias_table:
        module._modules.pop(TABLE, None)
        module.has_relative_attention_bias = False  # type: ignore[assignment]
