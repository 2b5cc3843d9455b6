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
from earlybird.surgery.position_bias import bias_heads

_LENGTH = 6
_GRID = (2, 3)
_POSITIONS = 1024


def guessed_arguments(model: nn.Module, block: Block) -> Iterator[dict[str, Any]]:
    """Guesses at the arguments of a block's forward pass, the likeliest first; the same for a block at every call."""
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
        yield _routed([parameter.name for parameter in parameters], model.get_submodule(block.name), block)
        return
    generator = torch.Generator("cpu").manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device="cpu").to(weight.device, weight.dtype)

    path = block.query if isinstance(block, AttentionBlock) else block.input
    size = block.unit_size if isinstance(block, AttentionBlock) else 1
    width = _inputs(model.get_submodule(path))
    length = torch.arange(_LENGTH, device=weight.device)
    known: dict[str, Any] = {"position_ids": length[None], "height": _GRID[0], "width": _GRID[1]}
    known["cu_seqlens"] = torch.tensor([0, _LENGTH], dtype=torch.int32, device=weight.device)
    known["max_seqlen"] = _LENGTH
    known["shared_kv_states"] = {}
    known["relative_position_embeddings"] = random(1, 2 * _LENGTH - 1, width)
    known["rel_embeddings"] = random(_POSITIONS, width)
    if isinstance(block, AttentionBlock):
        if block.bias_argument == "alibi":
            known["alibi"] = random(bias_heads(model.get_submodule(block.owner), block.units), 1, _LENGTH)
        key_width = _inputs(model.get_submodule(block.key))
        if key_width != width or any(word in block.name.lower() for word in ("cross", "encdec", "encoder_attn")):
            known |= dict.fromkeys(("key_value_states", "encoder_hidden_states"), random(1, _LENGTH, key_width))
    square = weight.new_ones(1, 1, _LENGTH, _LENGTH)
    masks = (None, torch.zeros_like(square), weight.new_ones(1, _LENGTH), square)
    masked = [name for name in names if name in ("mask", "attention_mask", "merged_attention_mask")]
    windows = [(1, area, width) for area in sorted(_window_areas(module))]
    for shape in (*windows, (1, _LENGTH, width), (1, *_GRID, width), (_LENGTH, width), (_LENGTH * _LENGTH, 1, width)):
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


def _routed(names: list[str], module: nn.Module, block: MlpBlock) -> dict[str, Any]:
    """Features, which experts each goes to, so that each gets some, and by what weights."""
    part = block.entering_output
    output = module.get_parameter(block.after.parameter)
    width = output.shape[3 - part.dim]
    generator = torch.Generator("cpu").manual_seed(0)
    features = torch.randn(max(_LENGTH, block.experts), width, generator=generator, device="cpu")
    first = torch.arange(len(features)) % block.experts
    both = torch.stack([first, (first + 1) % block.experts], dim=1)
    weights = torch.rand(both.shape, generator=generator, device="cpu")
    values = (features.to(output.dtype), both, weights.to(output.dtype))
    return {name: value.to(output.device) for name, value in zip(names, values, strict=False)}


def _window_areas(module: nn.Module) -> set[int]:
    """Positions of the windows that attention is computed in (Swin), also with a class token (BEiT)."""
    sizes = {vars(part).get("window_size") for part in module.modules()}
    squares = {(size, size) if type(size) is int else size for size in sizes}
    areas = {size[0] * size[1] for size in squares if isinstance(size, tuple) and len(size) == 2}
    return areas | {area + 1 for area in areas}


def _inputs(module: nn.Module) -> int:
    return int(module.nx if isinstance(module, Conv1D) else module.in_features)  # type: ignore[arg-type]
