"""The best span of a context by the scores of its ends."""

from __future__ import annotations

import torch
from torch import Tensor


def best_spans(start: Tensor, end: Tensor, context: Tensor, max_length: int) -> tuple[Tensor, Tensor, Tensor]:
    """The span whose start and end score highest together, of at most `max_length` tokens.

    All spans are compared, not only those of the best starts and ends. Among equal ones the shortest is taken,
    then the earliest.

    Args:
        start, end: float (batch, tokens).
        context: bool (batch, tokens), True for the tokens that may belong to an answer, which lie together.
        max_length: in tokens.

    Returns:
        The sum of the two scores, float (batch,), -infinity without any context; first and last token, int64
        (batch,).
    """
    tokens = start.shape[1]
    start = start.masked_fill(~context, -torch.inf)
    end = end.masked_fill(~context, -torch.inf)
    best = start.new_full((len(start),), -torch.inf)
    first, last = (torch.zeros(len(start), dtype=torch.int64, device=start.device) for _ in range(2))
    for further in range(min(max_length, tokens)):
        score, place = (start[:, : tokens - further] + end[:, further:]).max(1)
        better = score > best
        best = torch.where(better, score, best)
        first = torch.where(better, place, first)
        last = torch.where(better, place + further, last)
    return best, first, last
