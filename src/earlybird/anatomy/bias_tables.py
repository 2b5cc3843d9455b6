"""Position biases that one attention block computes for the whole stack (T5 and its kin)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import nn

from earlybird.anatomy.blocks import AttentionBlock
from earlybird.anatomy.projections import below

TABLE = "relative_attention_bias"


def with_bias_tables(modules: Mapping[str, nn.Module], blocks: Sequence[AttentionBlock]) -> list[AttentionBlock]:
    """Blocks that get their position bias from another block of their stack are told from which table.

    The first layer computes the bias and hands it on. Once layers keep different heads, each needs the bias of
    its own heads, so each gets a copy of the table's columns.
    """
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
