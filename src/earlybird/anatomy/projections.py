"""One view of torch's Linear and of the transposed Conv1D of the GPT-2 kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True)
class Projection:
    """A matrix from `inputs` to `outputs` features.

    Attributes:
        path: of the module.
        inputs, outputs: number of features.
        output_dim: dimension of the weight that runs over the output features (0 for Linear, 1 for Conv1D).
        has_bias: whether there is a bias.
    """

    path: str
    inputs: int
    outputs: int
    output_dim: int
    has_bias: bool

    @property
    def input_dim(self) -> int:
        """Dimension of the weight that runs over the input features."""
        return 1 - self.output_dim


def projection_at(modules: Mapping[str, nn.Module], path: str) -> Projection | None:
    """The projection at a path, or None if there is none, or its weight is packed (quantized)."""
    module = modules.get(path)
    if module is not None and not isinstance(module, (nn.Linear, Conv1D)):
        # A thin wrapper around one linear module.
        path = below(path, "linear")
        module = modules.get(path)
    if not isinstance(module, (nn.Linear, Conv1D)) or module.weight.ndim != 2 or not module.weight.is_floating_point():
        return None
    output_dim = 0 if isinstance(module, nn.Linear) else 1
    outputs, inputs = module.weight.shape[output_dim], module.weight.shape[1 - output_dim]
    if isinstance(module, nn.Linear) and (outputs, inputs) != (module.out_features, module.in_features):
        return None
    return Projection(path, inputs, outputs, output_dim, module.bias is not None)


def below(name: str, part: str) -> str:
    """Path of a part of the module at a path."""
    return f"{name}.{part}" if name else part


def resize(module: nn.Module) -> None:
    """Let a projection's attributes say what its weight is."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, Conv1D):
        module.nx, module.nf = module.weight.shape
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape
