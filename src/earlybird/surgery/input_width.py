"""Attention that takes its width from its input, made to hold fewer heads.

A forward pass that ends in `reshape(batch, tokens, channels)`, with the channels of its input (BEiT, EVA and Swin V2
of timm, BLIP), breaks once its heads have fewer features together. Such an attention is handed as many channels of
its input as its heads have features, by which it shapes its result; the projections, which alone compute with the
input, are handed the whole of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import nn

from earlybird.anatomy import AttentionBlock
from earlybird.anatomy.paths import below
from earlybird.anatomy.patterns import BIAS_APART
from earlybird.anatomy.source_code import argument_names
from earlybird.surgery.output_check import output_check_of


class NarrowInput:
    """Forward pre-hook of an attention: of its input as many channels as its heads have features.

    Args:
        output: path of the output projection, relative to the attention.
    """

    def __init__(self, output: str) -> None:
        self.output = output

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The arguments, the first of them (..., channels) narrowed; it brings the whole along."""
        name = argument_names(module)[0]
        whole = inputs[0] if inputs else named[name]
        narrowed = whole[..., : module.get_submodule(self.output).in_features]
        # On the tensor, not here: a hook with a state would mix up calls from several threads.
        narrowed.whole = whole
        return ((narrowed, *inputs[1:]), named) if inputs else (inputs, {**named, name: narrowed})


class WholeInput:
    """Forward pre-hook of a projection: the whole of an input that was narrowed."""

    def __call__(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, the first of them as it was before it was narrowed."""
        return (getattr(inputs[0], "whole", inputs[0]), *inputs[1:])


def narrow(model: nn.Module, block: AttentionBlock) -> list[Callable[[], None]]:
    """Make an attention take its width from the heads that it has; returns what undoes it, in the order done."""
    owner = model.get_submodule(block.owner)
    hook = NarrowInput(block.output.removeprefix(below(block.owner, "")))
    handles = [owner.register_forward_pre_hook(hook, with_kwargs=True)]
    for path in dict.fromkeys((block.query, block.key, block.value)):
        handles.append(model.get_submodule(path).register_forward_pre_hook(WholeInput()))
    undo = [handle.remove for handle in handles]
    if vars(owner).get(BIAS_APART) is False:
        # Otherwise it uses the projection's weight without calling the projection, past its hook.
        setattr(owner, BIAS_APART, True)
        undo.append(partial(setattr, owner, BIAS_APART, False))
    return undo


def wanting_width(model: nn.Module, blocks: Sequence[AttentionBlock]) -> list[AttentionBlock]:
    """The attention blocks that run with a narrowed input only, one of each class being run; none without weights.

    Args:
        model: after surgery.
        blocks: of its anatomy, as it is now.
    """
    wanting: dict[type[nn.Module], bool] = {}
    result = []
    for block in blocks:
        owner, query = model.get_submodule(block.owner), model.get_submodule(block.query)
        output = model.get_submodule(block.output)
        if not (isinstance(query, nn.Linear) and isinstance(output, nn.Linear)) or query.weight.is_meta:
            continue
        inside = block.output.startswith(below(block.owner, ""))
        narrowed = any(isinstance(hook, NarrowInput) for hook in owner._forward_pre_hooks.values())
        if output.in_features >= query.in_features or not inside or narrowed:
            continue
        if type(owner) not in wanting:
            wanting[type(owner)] = output_check_of(model, block) is None and _runs_narrowed(model, block)
        if wanting[type(owner)]:
            result.append(block)
    return result


def _runs_narrowed(model: nn.Module, block: AttentionBlock) -> bool:
    undo = narrow(model, block)
    try:
        return output_check_of(model, block) is not None
    finally:
        for back in reversed(undo):
            back()
