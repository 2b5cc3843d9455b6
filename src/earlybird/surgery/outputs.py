"""The tensors that a model returns, and how much two models' differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def largest_difference(outputs: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """Largest absolute difference of two models' outputs; infinite where shapes differ, or one alone is not finite."""
    if [a.shape for a in outputs] != [b.shape for b in others]:
        return float("inf")
    differences = [
        torch.where((a == b) | (a.isnan() & b.isnan()), torch.zeros_like(a), a - b).abs().float()
        for a, b in zip(outputs, others, strict=True)
        if a.numel()
    ]
    return max((float(d.nan_to_num(nan=float("inf")).max()) for d in differences), default=0.0)


def output_tensors(result: Any) -> list[Tensor]:
    """All floating point tensors of a model's output, in order; not its cache, of which pruned heads are gone."""
    if isinstance(result, Tensor):
        return [result] if result.is_floating_point() else []
    if isinstance(result, Mapping):
        skipped = ("past_key_values", "cache", "attentions")
        values = [value for key, value in result.items() if not str(key).endswith(skipped)]
    elif isinstance(result, (list, tuple)):
        values = list(result)
    else:
        return []
    return [tensor for value in values for tensor in output_tensors(value)]
