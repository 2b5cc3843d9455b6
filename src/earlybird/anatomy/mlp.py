"""Finds the MLP of one layer by the names and shapes of its projections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import nn

from earlybird.anatomy.blocks import GoneBlock, LeftOut, MlpBlock, Part, Site, consecutive
from earlybird.anatomy.paths import below
from earlybird.anatomy.patterns import MlpPattern
from earlybird.anatomy.projections import Projection, projection_at
from earlybird.anatomy.wrappers import is_adapted

_GATED = "it is gated: its neurons are a product, and the coefficient would have to scale both factors"


def mlp_at(
    modules: Mapping[str, nn.Module], name: str, patterns: Sequence[MlpPattern]
) -> MlpBlock | GoneBlock | LeftOut | None:
    """The MLP whose projections hang below a module, also without a neuron, why it cannot be pruned, or None."""
    for pattern in patterns:
        output = projection_at(modules, below(name, pattern.output))
        inputs = [projection_at(modules, below(name, part)) for part in pattern.inputs]
        found = [projection for projection in inputs if projection is not None]
        if output is not None and len(found) == len(inputs):
            if output.inputs == 0 and not any(projection.outputs for projection in found):
                return GoneBlock(name, "neurons", (*(projection.path for projection in found), output.path))
            block = _block(modules, name, tuple(found), output)
            if block is not None:
                return block
    return None


def _block(
    modules: Mapping[str, nn.Module], name: str, inputs: tuple[Projection, ...], output: Projection
) -> MlpBlock | LeftOut | None:
    units = output.inputs
    halves = 2 if len(inputs) == 1 and inputs[0].outputs == 2 * units else 1
    if any(projection.outputs != halves * units for projection in inputs):
        return None
    rows = np.tile(np.arange(units), halves)
    parts: list[Part] = []
    for projection in inputs:
        parts += projection.output_parts(rows)
    columns = consecutive(units, 1)
    parts += output.input_parts(columns)
    if (reason := _between(modules, name, (*inputs, output), units)) is not None:
        return LeftOut(name, reason)
    gated = halves == 2 or len(inputs) > 1
    return MlpBlock(
        name=name,
        units=units,
        inputs=tuple(projection.path for projection in inputs),
        output=output.path,
        parts=tuple(parts),
        after=Site(output.path, columns),
        before=Site(inputs[0].path, rows, _GATED if gated else ""),
    )


def _between(modules: Mapping[str, nn.Module], name: str, projections: Sequence[Projection], units: int) -> str | None:
    """Why what lies between the projections does not act on each neuron alone, or None."""
    known = {projection.path for projection in projections}
    around = {path.rpartition(".")[0] for path in known}
    hidden = projections[-1].outputs
    for holder in around:
        # A layer that holds both projections directly holds norms and attention too: judged by their names.
        for child_name, child in modules[holder].named_children():
            path = below(holder, child_name)
            if path in known or any(other.startswith(below(path, "")) for other in known):
                continue
            inner = child.get_submodule("base_layer") if is_adapted(child) else child
            sizes = {size for parameter in inner.parameters(recurse=False) for size in parameter.shape}
            within = any(word in child_name for word in ("sub_norm", "ffn_norm", "ffn_layernorm", "inner", "mid"))
            if units in sizes and (units != hidden or within):
                return f"{child_name} between its projections takes all neurons together, or is not known"
    return None
