"""How many tokens a model's table of positions has room for."""

from __future__ import annotations

from typing import Any

from transformers import MptConfig, PreTrainedModel

# What transformers calls the table: in most encoders; BART and OPT; GPT-2; GPT; CANINE; CTRL.
_TABLES = (
    *("position_embeddings", "embed_positions", "wpe"),
    *("positions_embed", "char_position_embeddings", "pos_encoding"),
)


def position_limit(model: PreTrainedModel) -> int | None:
    """The most tokens that a model can read; None where there is no table, as with rotary and relative positions.

    Not every row is a token's: RoBERTa and its relatives count from the row behind that of padding, BART and OPT from
    the third. Nystromformer and others have more rows than numbers for them.
    """
    limits = []
    for module in model.modules():
        children, buffers = dict(module.named_children()), dict(module.named_buffers(recurse=False))
        for name in _TABLES:
            table = buffers.get(name, getattr(children.get(name), "weight", None))
            if table is not None:
                numbers = buffers.get("position_ids", table[:, 0])
                limits.append(min(len(table) - _first_row(children.get(name)), numbers.shape[-1]))
    if isinstance(model.config, MptConfig):
        limits.append(model.config.max_seq_len)  # Its biases by distance are made for so many tokens.
    return min(limits, default=None)


def _first_row(table: Any) -> int:
    padding: int | None = getattr(table, "padding_idx", None)
    return getattr(table, "offset", 0) if padding is None else padding + 1
