"""Position biases that lie outside an attention block: one table for the whole stack (T5, MPNet, BEiT)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from earlybird.anatomy.blocks import AttentionBlock, Part, consecutive
from earlybird.anatomy.paths import below
from earlybird.anatomy.patterns import KEPT_HEADS
from earlybird.anatomy.source_code import argument_names

TABLE = "relative_attention_bias"
_BIASED = "a position bias is added to its scores, which the scaling would not reach"


def with_bias_tables(modules: Mapping[str, nn.Module], blocks: Sequence[AttentionBlock]) -> list[AttentionBlock]:
    """Blocks told of the tables of position biases that lie outside them.

    A table beside one attention is sliced with its heads. One that serves several stays whole, and each
    attention takes what belongs to its heads. In the T5 kind the first layer computes the bias and hands it on:
    once layers keep different heads each needs the bias of its own, so each gets a copy of the table's columns.
    """
    return _handed_on(modules, _beside(modules, blocks))


def untied(block: AttentionBlock) -> AttentionBlock:
    """What a block is once its position bias does not depend on the heads that other layers keep.

    It then holds what says which part of the bias is its own: the heads kept, of a bias for all heads; or its
    columns of the table that the first block of the stack computed the bias from.
    """
    if not block.bias_argument:
        return block
    if not block.hands_on_bias:
        kept = Part(below(block.owner, KEPT_HEADS), 0, consecutive(block.units, 1))
        return block if kept in block.parts else replace(block, parts=(*block.parts, kept))
    if copied := copied_table(block):
        columns = Part(copied[0], 1, consecutive(block.units, 1))
        return replace(block, parts=(*block.parts, columns), bias_table="")
    return block


def copied_table(block: AttentionBlock) -> tuple[str, str] | None:
    """Of a block that gets a table of its own where it is untied: the name of that parameter, and of the original."""
    if not (block.bias_argument and block.hands_on_bias and block.bias_table):
        return None
    return f"{below(block.owner, TABLE)}.weight", f"{block.bias_table}.weight"


def _beside(modules: Mapping[str, nn.Module], blocks: Sequence[AttentionBlock]) -> list[AttentionBlock]:
    result = list(blocks)
    for path, parameter in _tables(modules):
        if any(path.startswith(below(block.name, "")) for block in blocks):
            continue
        around = path.rpartition(".")[0].rpartition(".")[0]
        served = [i for i, block in enumerate(blocks) if block.name.startswith(below(around, "")) or not around]
        for i in served:
            block = result[i]
            if parameter.shape[-1] != block.units:
                continue
            before = replace(block.before, refusal=block.before.refusal or _BIASED)
            if len(served) == 1:
                part = Part(path, parameter.ndim - 1, consecutive(block.units, 1))
                result[i] = replace(block, parts=(*block.parts, part), before=before)
            elif not block.bias_argument and "attention_mask" in argument_names(modules[block.owner]):
                result[i] = replace(block, bias_argument="attention_mask", before=before)
    return result


def _tables(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, Tensor]]:
    for name, module in modules.items():
        for leaf, parameter in module.named_parameters(recurse=False):
            path = below(name, leaf)
            if leaf == "relative_position_bias_table" or path.endswith((f".{TABLE}.weight", ".rel_pos_bias.weight")):
                yield path, parameter


def _handed_on(modules: Mapping[str, nn.Module], blocks: Sequence[AttentionBlock]) -> list[AttentionBlock]:
    tables: dict[str, str] = {}
    result = []
    for block in blocks:
        module = modules[block.owner]
        if not hasattr(module, "has_relative_attention_bias"):
            result.append(block)
            continue
        stack = re.sub(r"\d+", "#", block.owner, count=1)
        own = hasattr(module, TABLE)
        if own:
            tables.setdefault(stack, below(block.owner, TABLE))
        result.append(replace(block, hands_on_bias=True, bias_table="" if own else tables.get(stack, "")))
    return result
