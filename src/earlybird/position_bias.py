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
from earlybird.anatomy.patterns import KEPT_HEADS
from earlybird.anatomy.reading import argument_names


class _Argument:
    """An argument of a forward pass, passed by position or by name."""

    def __init__(self, module: nn.Module, name: str) -> None:
        self.name = name
        self.position = argument_names(type(module)).index(name)

    def replaced(self, inputs: tuple[Any, ...], named: dict[str, Any], value: Any) -> tuple[tuple[Any, ...], Any]:
        if self.position < len(inputs):
            return (*inputs[: self.position], value, *inputs[self.position + 1 :]), named
        return inputs, {**named, self.name: value}

    def found(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        return inputs[self.position] if self.position < len(inputs) else named.get(self.name)


class SelectHeads(_Argument):
    """Forward pre-hook: of a bias for all heads, what belongs to the heads kept.

    Args:
        module: the attention; its buffer `kept_heads` (heads,) int64 lists the heads kept.
        name: of the argument: (..., heads, queries, keys), or (batch x heads, queries, keys).
        heads: how many the bias is for.
    """

    def __init__(self, module: nn.Module, name: str, heads: int) -> None:
        super().__init__(module, name)
        self.heads = heads

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The arguments, the bias cut to the heads kept."""
        bias = self.found(inputs, named)
        if not isinstance(bias, Tensor) or bias.ndim < 3 or bias.shape[-3] % self.heads:
            return inputs, named
        if self.name == "attention_mask" and (bias.ndim != 4 or bias.shape[1] != self.heads):
            return inputs, named  # a mask alone, the same for all heads
        by_head = bias.unflatten(-3, (-1, self.heads)).index_select(-3, module.get_buffer(KEPT_HEADS))
        return self.replaced(inputs, named, by_head.flatten(-4, -3))


class ComputeOwnBias(_Argument):
    """Forward pre-hook: no bias from the layer before, so that the attention computes its own."""

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The arguments without the bias."""
        return self.replaced(inputs, named, None)


def bias_heads(module: nn.Module, heads: int) -> int:
    """How many heads the bias that an attention is handed has: its own, or more since it takes its part of it."""
    return next((hook.heads for hook in module._forward_pre_hooks.values() if isinstance(hook, SelectHeads)), heads)


def is_untied(module: nn.Module) -> bool:
    """Whether an attention has been made independent of other layers' heads already."""
    return any(isinstance(hook, _Argument) for hook in module._forward_pre_hooks.values())


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
    hook = SelectHeads(module, block.bias_argument, block.units)
    module.register_forward_pre_hook(hook, with_kwargs=True)


def tie_again(model: nn.Module, block: AttentionBlock) -> None:
    """Undo `untie`."""
    module = model.get_submodule(block.owner)
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, _Argument):
            del module._forward_pre_hooks[key]
            module._forward_pre_hooks_with_kwargs.pop(key, None)
    module._buffers.pop(KEPT_HEADS, None)
    module._non_persistent_buffers_set.discard(KEPT_HEADS)
    if block.bias_table:
        module._modules.pop(TABLE, None)
        module.has_relative_attention_bias = False  # type: ignore[assignment]
