"""What stands for an attention that has lost its last head: the bias of its output projection, whatever comes in."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import Cache
from transformers.pytorch_utils import Conv1D

from earlybird.anatomy.source_code import argument_names

# By these an attention is handed what another stack gave, of which it holds the keys and values on its own.
_OF_ANOTHER_STACK = ("key_value_states", "encoder_hidden_states")
# What an attention calls the number of its layer in a cache.
_LAYER_NAMES = ("layer_idx", "layer_id")


class WithoutHeads(nn.Module):
    """An attention without heads. It holds all that the attention held, under the same names, of no size.

    Args:
        attention: the module whose forward pass computed the attention, its projections cut to no head.
        output: name in it of the projection of the concatenated heads, or "" where that lies outside.
        returned: what its forward pass returned: 0 for the features alone, n for a tuple of n with the features first.
            The others, such as attention weights, are None from now on. transformers collects attention weights by
            class, and so leaves the layer out of `attentions`.
    """

    def __init__(self, attention: nn.Module, output: str, returned: int) -> None:
        super().__init__()
        self.features_name = argument_names(attention)[0]
        # Code around it reads its numbers (head_dim), and a cache is told of its layer's.
        own = {name: value for name, value in vars(attention).items() if not name.startswith("_")}
        vars(self).update(own)
        for name, parameter in attention.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in attention.named_buffers(recurse=False):
            self.register_buffer(name, buffer, persistent=name not in attention._non_persistent_buffers_set)
        for name, child in attention.named_children():
            self.add_module(name, child)
        self.output_path = output
        self.returned = returned
        # Several processes would wait for a gradient of what has no number in it.
        for parameter in self.parameters():
            if not parameter.numel():
                parameter.requires_grad_(False)

    def forward(self, *inputs: Any, **named: Any) -> Tensor | tuple[Tensor | None, ...]:
        """The bias at every position of the first argument (..., positions, channels)."""
        features = inputs[0] if inputs else named[self.features_name]
        given = (*inputs, *named.values())
        cache = next((value for value in given if isinstance(value, Cache)), None)
        if cache is not None and all(named.get(name) is None for name in _OF_ANOTHER_STACK):
            self._count_positions(cache, features)
        # A slice, so that a norm before it has a gradient, if of zeros: several processes wait for that.
        result: Tensor = features[..., :0]
        if self.output_path:
            result = self.get_submodule(self.output_path)(result)
        return result if self.returned == 0 else (result, *[None] * (self.returned - 1))

    def _count_positions(self, cache: Any, features: Tensor) -> None:
        """Let a cache count the positions, which it may do in this layer: one key of one feature each."""
        batch, positions = features.shape[:2]
        key = features.new_zeros((batch, 1, positions, 1))
        own = vars(self)
        layer = next(own[name] for name in _LAYER_NAMES if name in own)
        getattr(cache, "self_attention_cache", cache).update(key, key, layer)


class Conv1DWithoutInputs(Conv1D):
    """A `Conv1D` without input features, which that class cannot compute: its bias at every position.

    Args:
        projection: the one whose parameters it takes, its weight (0, outputs).
    """

    def __init__(self, projection: Conv1D) -> None:
        super().__init__(projection.nf, 0)  # type: ignore[no-untyped-call]
        self.weight, self.bias = projection.weight, projection.bias

    def forward(self, features: Tensor) -> Tensor:
        """Features (..., 0) -> (..., outputs)."""
        return features @ self.weight + self.bias
