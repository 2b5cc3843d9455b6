"""Pruned units masked in place: same shapes, they contribute exactly 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

from earlybird.anatomy import Anatomy, AttentionPattern, MlpPattern
from earlybird.anatomy.paths import tensor_at
from earlybird.anatomy.projections import projection_at
from earlybird.anatomy.wrappers import unwrapped
from earlybird.slimming.scaling import refuse_while_slimming
from earlybird.surgery.plan import plan_surgery
from earlybird.ticket import Ticket

Model = TypeVar("Model", bound=nn.Module)
Patterns = Sequence[AttentionPattern | MlpPattern]


def apply_mask(model: Model, ticket: Ticket, *, patterns: Patterns = ()) -> Model:
    """Mask the pruned units in place: same shapes, they contribute exactly 0; returns the model.

    Zeroes the columns of the output projections that the pruned units feed.

    Args:
        model: as it is before pruning.
        ticket: which units stay.
        patterns: of families that earlybird does not know.

    Raises:
        InputError: it is no ticket, or one for another model.
    """
    inner = unwrapped(model)
    refuse_while_slimming(inner)
    plan = plan_surgery(Anatomy.of(inner, patterns=patterns), ticket)
    modules = dict(inner.named_modules())
    with torch.no_grad():
        for block, mask in plan.changed:
            output = projection_at(modules, block.after.path)
            assert output is not None
            for part in output.input_parts(block.after.unit_of):
                weight = tensor_at(inner, part.parameter)
                pruned = torch.from_numpy(~mask[part.unit_of]).to(weight.device)
                weight.index_fill_(part.dim, pruned.nonzero().flatten(), 0)
    return model
