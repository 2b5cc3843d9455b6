"""Softmax with one extra logit of 0 whose value vector is 0, as an attention kernel for transformers.

exp(x_i) / (1 + sum_j exp(x_j)): a head may attend to nothing. It equals standard attention over one more key
and value, both zero, so any exact kernel computes it; the running maximum then includes that 0, which keeps the
1 in the denominator as exp(-max).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from earlybird.errors import InputError

NAME = "earlybird_off_by_one"


def off_by_one_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention with the extra zero key, in front of the others.

    Args:
        module: the attention module that calls.
        query: (batch, heads, queries, features).
        key: (batch, key heads, keys, features).
        value: (batch, key heads, keys, features).
        attention_mask: None, or (batch, 1 or heads, queries, keys), bool (True = visible) or additive.
        dropout: of the attention weights.
        scaling: of the scores; by default 1 / sqrt(features).
        is_causal: refused: without an explicit mask the extra key would shift the diagonal.
        kwargs: what the caller passes to any kernel.

    Returns:
        Output (batch, queries, heads, features), and None for the weights.
    """
    causal = getattr(module, "is_causal", False) if is_causal is None else is_causal
    if causal and attention_mask is None and query.shape[2] > 1:
        raise InputError("softmax=off_by_one needs an explicit mask in causal attention")
    key = torch.cat([key.new_zeros(*key.shape[:2], 1, key.shape[3]), key], dim=2)
    value = torch.cat([value.new_zeros(*value.shape[:2], 1, value.shape[3]), value], dim=2)
    if attention_mask is not None:
        visible = attention_mask.new_ones if attention_mask.dtype == torch.bool else attention_mask.new_zeros
        attention_mask = torch.cat([visible(*attention_mask.shape[:-1], 1), attention_mask], dim=-1)
    output, _ = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=False, **kwargs
    )
    return output, None


def use_off_by_one(model: PreTrainedModel) -> None:
    """Switch a model's attention to the off-by-one softmax.

    Raises:
        InputError: the model does not choose its kernel through transformers' attention interface.
    """
    if not getattr(model, "_supports_attention_backend", False):
        raise InputError(
            f"softmax=off_by_one needs a model that takes its attention kernel from transformers'"
            f" AttentionInterface, which {type(model).__name__} does not"
        )
    model.set_attn_implementation(NAME)


def is_used(model: PreTrainedModel) -> bool:
    """Whether a model's attention runs with the off-by-one softmax."""
    return bool(getattr(model.config, "_attn_implementation", None) == NAME)


AttentionInterface.register(NAME, off_by_one_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
