"""What an attention holds beside its projections: sliced along, left alone, or a reason to leave it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from torch import Tensor, nn

from earlybird.anatomy.blocks import Part, consecutive
from earlybird.anatomy.paths import below
from earlybird.anatomy.patterns import BEFORE_HEADS, INPUTS_OF_HEADS, OUTER_NORMS, PER_FEATURE, PER_HEAD
from earlybird.anatomy.projections import Projection


def beside_the_projections(
    modules: Mapping[str, nn.Module],
    name: str,
    projections: Iterable[Projection],
    norms: Iterable[str] = (),
    *,
    units: int,
    groups: int,
    unit_size: int,
    value_size: int,
) -> tuple[list[Part], list[str], bool]:
    """Every other parameter below an attention module accounted for.

    Args:
        modules: path -> module, of the model.
        name: of the attention module.
        projections: its own.
        norms: paths of the norms over all heads that are accounted for.
        units, groups, unit_size, value_size: see `AttentionBlock`.

    Returns:
        What goes with a head; reasons why the attention cannot be pruned; whether queries are normalised.
    """
    known = tuple(projection.path for projection in projections)
    parts: list[Part] = []
    reasons: list[str] = []
    normalised = False
    for path, module in modules.items():
        if path != name and not path.startswith(below(name, "")):
            continue
        if path in known or path.startswith(tuple(below(projection, "") for projection in known)):
            continue
        inside = path.removeprefix(below(name, "")) if name else path
        if not INPUTS_OF_HEADS.isdisjoint(inside.split(".")):
            continue
        last = path.rpartition(".")[2]
        normalised |= path != name and last.startswith("q") and "norm" in last and not isinstance(module, nn.Identity)
        buffers = ((leaf, buffer) for leaf, buffer in module.named_buffers(recurse=False) if leaf in PER_HEAD)
        for leaf, parameter in () if path in norms else (*module.named_parameters(recurse=False), *buffers):
            full = below(path, leaf)
            inside = full.removeprefix(below(name, "")) if name else full
            called = inside.removesuffix(".weight").removesuffix(".bias")
            last = called.rpartition(".")[2]
            if "Norm" in type(module).__name__ or last.endswith("norm"):
                inner = last not in OUTER_NORMS
                per_head = {(count, size) for count in (units, groups) for size in (unit_size, value_size)}
                if inner and tuple(parameter.shape) in per_head:
                    # A norm of each head alone, with weights of its own (Cohere's Command R+).
                    shared = parameter.shape[0] == groups != units
                    parts.append(Part(full, 0, np.arange(units, units + groups) if shared else np.arange(units)))
                elif inner and parameter.numel() not in (unit_size, value_size):
                    reasons.append(
                        f"{called} normalises over {parameter.numel()} features of all heads together, so that it"
                        " needs those of removed heads too"
                    )
            elif called.endswith(PER_HEAD):
                dim = _head_dimension(module, leaf, parameter, units, unit_size)
                if dim is None:
                    reasons.append(f"{called} of shape {tuple(parameter.shape)} does not fit its {units} heads")
                else:
                    parts.append(Part(full, dim, consecutive(units, parameter.shape[dim] // units)))
            elif called.endswith(PER_FEATURE):
                weight = getattr(module, "weight", parameter)
                if weight.shape[-1] not in (unit_size, value_size):
                    reasons.append(
                        f"{called} of shape {tuple(weight.shape)} does not fit heads of {unit_size} features"
                    )
            elif called == "dense_bias" or called.endswith(BEFORE_HEADS):
                continue
            else:
                reasons.append(
                    f"it holds {called} of shape {tuple(parameter.shape)}, of which it is not known how it"
                    " goes with the heads"
                )
    return parts, reasons, normalised


def _head_dimension(module: nn.Module, leaf: str, parameter: Tensor, units: int, unit_size: int) -> int | None:
    sizes = (units, units * unit_size)
    dimensions = [dim for dim, size in enumerate(parameter.shape) if size in sizes]
    if isinstance(module, nn.Embedding) or leaf.endswith("table"):
        dimensions = [dim for dim in dimensions if dim == parameter.ndim - 1]
    elif isinstance(module, nn.Linear):
        dimensions = [dim for dim in dimensions if dim == 0]
    return dimensions[0] if dimensions else None
