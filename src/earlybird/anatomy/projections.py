"""One view of torch's Linear, of the transposed Conv1D of the GPT-2 kind, and of either with LoRA beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from transformers.pytorch_utils import Conv1D

from earlybird.anatomy.blocks import Part
from earlybird.anatomy.experts import OUTPUT
from earlybird.anatomy.paths import below
from earlybird.anatomy.quantized import is_quantized
from earlybird.anatomy.wrappers import is_lora, lora_matrices


@dataclass(frozen=True)
class Projection:
    """A matrix from `inputs` to `outputs` features.

    Attributes:
        path: of the module, with its adapters if it has any.
        inputs, outputs: number of features.
        columns, rows: its parameters, each with the dimension that runs over the input or the output features.
    """

    path: str
    inputs: int
    outputs: int
    columns: tuple[tuple[str, int], ...]
    rows: tuple[tuple[str, int], ...]

    def input_parts(self, unit_of: NDArray[np.int64]) -> list[Part]:
        """What goes with units that its input features (inputs,) belong to."""
        return [Part(parameter, dim, unit_of) for parameter, dim in self.columns]

    def output_parts(self, unit_of: NDArray[np.int64]) -> list[Part]:
        """What goes with units that its output features (outputs,) belong to, the weight first."""
        return [Part(parameter, dim, unit_of) for parameter, dim in self.rows]


def projection_at(modules: Mapping[str, nn.Module], path: str) -> Projection | None:
    """The projection at a path, or None if there is none, or its weight is quantized."""
    outer = modules.get(path)
    if outer is not None and not isinstance(outer, (nn.Linear, Conv1D)) and not is_lora(outer):
        # A thin wrapper around one linear module.
        path = below(path, "linear")
        outer = modules.get(path)
    base, module = path, outer
    if outer is not None and is_lora(outer):
        base = below(path, "base_layer")
        module = modules[base]
    if not isinstance(module, (nn.Linear, Conv1D)) or module.weight.ndim != 2 or is_quantized(module.weight):
        return None
    output_dim = 0 if isinstance(module, nn.Linear) else 1
    outputs, inputs = module.weight.shape[output_dim], module.weight.shape[1 - output_dim]
    if isinstance(module, nn.Linear) and (outputs, inputs) != (module.out_features, module.in_features):
        return None
    columns, rows = [(f"{base}.weight", 1 - output_dim)], [(f"{base}.weight", output_dim)]
    if module.bias is not None:
        rows.append((f"{base}.bias", 0))
    if outer is not None and outer is not module:
        columns += [(f"{path}.{name}.weight", 1) for name, _ in lora_matrices(outer, "lora_A")]
        for name, matrix in lora_matrices(outer, "lora_B"):
            rows += [(f"{path}.{name}.{leaf}", 0) for leaf, _ in matrix.named_parameters()]
    return Projection(path, inputs, outputs, tuple(columns), tuple(rows))


def resize(module: nn.Module) -> None:
    """Let a projection's attributes say what its weight is."""
    if is_lora(module):
        layer: Any = module
        sizes = layer.base_layer.weight.shape
        layer.out_features, layer.in_features = sizes if isinstance(layer.base_layer, nn.Linear) else sizes[::-1]
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, Conv1D):
        module.nx, module.nf = module.weight.shape
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape
    elif (out := module._parameters.get(OUTPUT)) is not None and isinstance(vars(module).get("is_transposed"), bool):
        # Experts: what they call the number of neurons.
        for name in ("intermediate_dim", "intermediate_size", "expert_dim"):
            if type(vars(module).get(name)) is int:
                setattr(module, name, out.shape[1 if module.is_transposed else 2])
