"""The masked model against the pruned one, on inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from earlybird.anatomy.copies import copied
from earlybird.anatomy.wrappers import unwrapped
from earlybird.errors import InputError
from earlybird.surgery.apply_mask import Patterns, apply_mask
from earlybird.surgery.outputs import largest_difference, output_tensors
from earlybird.surgery.prune import prune
from earlybird.ticket import Ticket


def verify(model: nn.Module, ticket: Ticket, inputs: Mapping[str, Any] | Tensor, *, patterns: Patterns = ()) -> float:
    """Largest absolute difference between the masked and the pruned model's outputs; the model is unchanged.

    Args:
        model: as it is before pruning.
        ticket: which units stay.
        inputs: keyword arguments of the model's forward pass, or its one tensor.
        patterns: of families that earlybird does not know.

    Raises:
        InputError: the ticket is for another model.
    """
    outputs = []
    for change in (apply_mask, prune):
        changed = change(copied(unwrapped(model)), ticket, patterns=patterns).eval()
        with torch.no_grad():
            result = changed(**inputs) if isinstance(inputs, Mapping) else changed(inputs)
        outputs.append(output_tensors(result))
    masked, pruned = outputs
    if not masked:
        raise InputError(f"{type(model).__name__} returns no tensor that could be compared")
    return largest_difference(masked, pruned)
