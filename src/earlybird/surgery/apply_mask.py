"""Pruned units masked in place: same shapes, they contribute exactly 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import nn

from earlybird.anatomy import Anatomy, AttentionPattern, Block, MlpBlock, MlpPattern
from earlybird.anatomy.blocks import Part
from earlybird.anatomy.paths import tensor_at
from earlybird.anatomy.projections import projection_at
from earlybird.anatomy.wrappers import forget_compiled_code, unwrapped
from earlybird.slimming.scaling import refuse_while_slimming
from earlybird.surgery.plan import plan_surgery
from earlybird.surgery.router_mask import mask_router
from earlybird.ticket import Ticket

Model = TypeVar("Model", bound=nn.Module)
Patterns = Sequence[AttentionPattern | MlpPattern]


def apply_mask(model: Model, ticket: Ticket, *, patterns: Patterns = ()) -> Model:
    """Mask the pruned units in place: same shapes, they contribute exactly 0; returns the model.

    Zeroes the columns of the output projections that the pruned units feed. A router passes over pruned experts by a
    class of its own, which no state dict holds.

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
            for part in _columns(modules, block):
                weight = tensor_at(inner, part.parameter)
                pruned = torch.from_numpy(~mask[part.unit_of]).reshape(part.shape(weight.ndim))
                weight.masked_fill_(pruned.to(weight.device), 0)
    for mixture, mask in plan.mixtures:
        mask_router(inner, mixture, mask)
    if plan.mixtures:
        forget_compiled_code()
    return model


def _columns(modules: Mapping[str, nn.Module], block: Block) -> list[Part]:
    """What the units of a block are multiplied with as they leave it."""
    if isinstance(block, MlpBlock) and block.experts:
        return [block.entering_output]
    output = projection_at(modules, block.after.path)
    assert output is not None
    return output.input_parts(block.after.unit_of)
