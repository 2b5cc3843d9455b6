"""What a block's forward pass can be called with, guessed by the names of its arguments: random features, masks."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from earlybird.anatomy import AttentionBlock, Block, MlpBlock
from earlybird.anatomy.blocks import Mixture
from earlybird.anatomy.paths import is_in, tensor_at
from earlybird.surgery.position_bias import bias_heads

# Under no name: what each kernel for experts calls otherwise.
POSITIONAL = ""
_GRID = (2, 3)
_AREA = _GRID[0] * _GRID[1]
_POSITIONS = 1024


def guessed_arguments(model: nn.Module, block: Block) -> Iterator[dict[str, Any]]:
    """Guesses at the arguments of a block's forward pass, the likeliest first; the same for a block at every call.

    What `POSITIONAL` holds comes without names.
    """
    module = model.get_submodule(block.name)
    weight = next(model.get_submodule(block.after.path).parameters())
    parameters = [
        parameter
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.kind == parameter.POSITIONAL_OR_KEYWORD
    ]
    if not parameters:
        return
    names = {parameter.name for parameter in parameters}
    required = {parameter.name for parameter in parameters[1:] if parameter.default is parameter.empty}
    if isinstance(block, MlpBlock) and block.experts:
        yield {POSITIONAL: _routed(model.get_submodule(block.name), block)}
        return
    generator = torch.Generator("cpu").manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device="cpu").to(weight.device, weight.dtype)

    path = block.query if isinstance(block, AttentionBlock) else block.input
    size = _rotated(model, block) if isinstance(block, AttentionBlock) else 1
    width = _inputs(model.get_submodule(path))
    grid = tuple(side * _stride(module) for side in _GRID)
    length = grid[0] * grid[1]
    known: dict[str, Any] = {"position_ids": torch.arange(length, device=weight.device)[None]}
    known |= {"height": grid[0], "width": grid[1]}
    known["cu_seqlens"] = torch.tensor([0, length], dtype=torch.int32, device=weight.device)
    known["max_seqlen"] = length
    known["shared_kv_states"] = {}
    known["relative_position_embeddings"] = random(1, 2 * length - 1, width)
    known["rel_embeddings"] = random(_POSITIONS, width)
    if isinstance(block, AttentionBlock):
        if block.bias_argument == "alibi":
            known["alibi"] = random(bias_heads(model.get_submodule(block.owner), block.units), 1, length)
        key_width = _inputs(model.get_submodule(block.key))
        if key_width != width or any(word in block.name.lower() for word in ("cross", "encdec", "encoder_attn")):
            known |= dict.fromkeys(("key_value_states", "encoder_hidden_states"), random(1, length, key_width))
    square = weight.new_ones(1, 1, length, length)
    masks = (None, torch.zeros_like(square), weight.new_ones(1, length), square)
    masked = [name for name in names if name in ("mask", "attention_mask", "merged_attention_mask")]
    shapes: list[tuple[int, ...]] = [(1, area, width) for area in sorted(_window_areas(module))]
    shapes += [(1, length, width), (1, *grid, width), (length, width), (_AREA * _AREA, 1, width)]
    if isinstance(block, AttentionBlock) and (outer := _outputs(model.get_submodule(block.output))) != width:
        # The queries may be made of a latent, which is made of the input.
        shapes += [(1, length, outer), (length, outer)]
    for shape in shapes:
        features = random(*shape)
        for mask, unknown, part in itertools.product(
            masks if masked else (None,),
            (None, features) if required - known.keys() - {*masked, "position_embeddings"} else (None,),
            (1, 2, 4, -1, -2) if "position_embeddings" in names else (1,),
        ):
            angles = random(*shape[:-1], max(1, size // abs(part)))
            rotation: Any = (angles.cos(), angles.sin())
            if part == -2:
                rotation = torch.polar(torch.ones_like(angles.float()), angles.float())
            elif part == -1:
                rotation = (angles.flatten(0, -2).cos(), angles.flatten(0, -2).sin())
            here = {**known, **dict.fromkeys(masked, mask), "position_embeddings": rotation}
            chosen = {name: here.get(name, unknown) for name in names if name in here or name in required}
            yield {**chosen, parameters[0].name: features}


def guessed_arguments_of_mixture(model: nn.Module, mixture: Mixture) -> Iterator[dict[str, Any]]:
    """Guesses at the arguments of the module that runs a router and its experts: features, as a batch and in a row."""
    own = (tensor_at(model, part.parameter) for part in mixture.parts if is_in(part.parameter, mixture.router))
    weight = next(tensor for tensor in own if tensor.ndim == 2)
    experts = next(model.get_submodule(mixture.name).parameters())
    generator = torch.Generator("cpu").manual_seed(0)
    tokens = max(_AREA, 2 * mixture.units)
    features = torch.randn(tokens, weight.shape[-1], generator=generator, device="cpu").to(
        experts.device, experts.dtype
    )
    yield {POSITIONAL: (features[None],)}
    yield {POSITIONAL: (features,)}


def _routed(module: nn.Module, block: MlpBlock) -> tuple[Tensor, ...]:
    """Features, which experts each goes to, so that each gets some, and by what weights."""
    part = block.entering_output
    output = module.get_parameter(block.after.parameter)
    width = output.shape[3 - part.dim]
    generator = torch.Generator("cpu").manual_seed(0)
    features = torch.randn(max(_AREA, block.experts), width, generator=generator, device="cpu")
    first = torch.arange(len(features)) % block.experts
    both = torch.stack([first, (first + 1) % block.experts], dim=1)
    weights = torch.rand(both.shape, generator=generator, device="cpu")
    values = (features.to(output.dtype), both, weights.to(output.dtype))
    return tuple(value.to(output.device) for value in values)


def _window_areas(module: nn.Module) -> set[int]:
    """Positions of the windows that attention is computed in (Swin), also with a class token (BEiT)."""
    sizes = {vars(part).get("window_size") for part in module.modules()}
    squares = {(size, size) if type(size) is int else size for size in sizes}
    areas = {size[0] * size[1] for size in squares if isinstance(size, tuple) and len(size) == 2}
    return areas | {area + 1 for area in areas}


def _stride(module: nn.Module) -> int:
    """By how much a convolution makes a grid smaller: the sides must be multiples of that."""
    return max((part.stride[0] for part in module.modules() if isinstance(part, nn.Conv2d)), default=1)


def _rotated(model: nn.Module, block: AttentionBlock) -> int:
    """Features of a head that a rotation by the position may be for: all, or those that it says (DeepSeek)."""
    said = vars(model.get_submodule(block.owner)).get("qk_rope_head_dim")
    return said if type(said) is int else block.unit_size


def _outputs(module: nn.Module) -> int:
    return int(module.nf if isinstance(module, Conv1D) else module.out_features)  # type: ignore[arg-type]


def _inputs(module: nn.Module) -> int:
    return int(module.nx if isinstance(module, Conv1D) else module.in_features)  # type: ignore[arg-type]
