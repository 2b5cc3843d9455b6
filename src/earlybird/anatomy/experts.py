"""Finds the experts of a mixture that are stored as one tensor, as transformers holds them since its version 5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from earlybird.anatomy.blocks import LeftOut, MlpBlock, Part, Site
from earlybird.anatomy.quantized import WAY_OUT, is_quantized

OUTPUT = "down_proj"

_ONE_TENSOR = "the experts of a mixture are one tensor, of which only what leaves their neurons can be scaled"


def experts_at(modules: Mapping[str, nn.Module], name: str) -> MlpBlock | LeftOut | None:
    """The experts that a module holds in one tensor, as one block of all their neurons, or None.

    Every expert keeps equally many neurons, each its own, so that the tensor stays one.

    The layout is that of transformers' `use_experts_implementation`: `down_proj` (experts, outputs, neurons) and
    `gate_up_proj` (experts, 2 x neurons, inputs) or `up_proj` (experts, neurons, inputs); each may be transposed, with
    biases (experts, features), and the two halves may take turns, feature by feature.
    """
    module: Any = modules[name]
    own = dict(module.named_parameters(recurse=False))
    said = vars(module)
    if not (isinstance(said.get("is_transposed"), bool) and isinstance(said.get("has_gate"), bool)):
        return None
    entering = "gate_up_proj" if said["has_gate"] else "up_proj"
    if not (entering in own and OUTPUT in own and own[OUTPUT].ndim == own[entering].ndim == 3):
        return None
    if any(is_quantized(own[path]) for path in (entering, OUTPUT)):
        return LeftOut(name, f"its experts are quantized: {WAY_OUT}")
    if "base_layer" in name.split("."):
        outer = name[: name.index(".base_layer")]
        return LeftOut(
            outer, "PEFT's adapters are on its experts: merge them first (merge_and_unload()), or leave these out"
        )
    transposed = said["is_transposed"]
    experts, neurons = own[OUTPUT].shape[0], own[OUTPUT].shape[1 if transposed else 2]
    one = np.arange(neurons)
    rows = one if not said["has_gate"] else np.tile(one, 2) if said.get("is_concatenated", True) else one.repeat(2)
    if own[entering].shape[2 if transposed else 1] != len(rows):
        return None
    columns = _of_each(one, experts, neurons)
    parts = [Part(f"{name}.{entering}", 2 if transposed else 1, _of_each(rows, experts, neurons))]
    if f"{entering}_bias" in own:
        parts.append(Part(f"{name}.{entering}_bias", 1, _of_each(rows, experts, neurons)))
    parts.append(Part(f"{name}.{OUTPUT}", 1 if transposed else 2, columns))
    return MlpBlock(
        name=name,
        units=experts * neurons,
        inputs=(name,),
        output=name,
        parts=tuple(parts),
        after=Site(name, columns, parameter=OUTPUT),
        before=Site(name, columns, _ONE_TENSOR),
        experts=experts,
    )


def _of_each(entries: NDArray[np.int64], experts: int, neurons: int) -> NDArray[np.int64]:
    """The unit of each entry of every expert's slice, (experts, entries)."""
    return np.arange(experts)[:, None] * neurons + entries
