"""How many heads a family's config accepts, where every block has the same number."""

from __future__ import annotations

import logging
from typing import Any

from earlybird.anatomy.config_fields import CannotSayError, changed, has_field

_log = logging.getLogger(__name__)


def valid_head_counts(config: Any, heads: int, head_size: int) -> tuple[int, ...] | None:
    """The numbers up to `heads` that a config accepts beside its own size of a head, or None: it restricts nothing.

    Llama and Gemma 2 and 3 want a divisor of the hidden size. A config without a size of heads of its own cannot
    say another number at all, so that it restricts nothing either.

    Args:
        config: of a Hugging Face model; anything else restricts nothing.
        heads: that every block has.
        head_size: features of a head.
    """
    text = config.get_text_config() if hasattr(config, "get_text_config") else None
    if text is None or not has_field(text, "head_dim") or not has_field(text, "num_attention_heads"):
        return None
    valid_counts = tuple(count for count in range(1, heads + 1) if _accepts(text, count, head_size))
    if len(valid_counts) in (0, heads):
        return None
    _log.warning(
        "%s accepts only %s heads where all blocks keep the same number: the nearest of them is kept",
        type(text).__name__,
        ", ".join(map(str, valid_counts)),
    )
    return valid_counts


def _accepts(config: Any, heads: int, head_size: int) -> bool:
    try:
        changed(config, {"num_attention_heads": heads, "head_dim": head_size})
    except CannotSayError:
        return False
    return True
