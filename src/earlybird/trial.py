"""A block run by itself on random features before and after surgery: silenced first, then removed.

What names and shapes cannot tell (how a fused projection is laid out, a norm between two projections, a number of
heads that the forward pass takes from elsewhere) shows in the outputs, whatever the family. Where a block cannot
be run alone, because its forward pass wants arguments that are not known, there is no evidence either way.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from earlybird.anatomy import AttentionBlock, Block
from earlybird.errors import InputError, first_line
from earlybird.outputs import largest_difference, output_tensors
from earlybird.position_bias import bias_heads

_LENGTH = 6
_GRID = (2, 3)
_POSITIONS = 1024
_WAY_OUT = "leave such blocks out by their names: Anatomy.of(model, exclude=[...])"
# Largest difference that rounding explains, relative to the largest output.
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 1e-1}


@dataclass(frozen=True)
class Trial:
    """What a module gave with its pruned units silenced.

    Attributes:
        name: of the module; "" is the whole model.
        arguments: of its forward pass.
        silenced: its outputs, the first one of a block.
    """

    name: str
    arguments: Mapping[str, Any]
    silenced: list[Tensor]

    def check(self, model: nn.Module) -> None:
        """Run the module again, now that the units are removed.

        Raises:
            InputError: it breaks, or gives something else.
        """
        module = model.get_submodule(self.name)
        called = f"{self.name} ({type(module).__name__})" if self.name else type(module).__name__
        try:
            removed = _run(module, self.arguments)[: len(self.silenced)]
        except Exception as error:
            raise InputError(
                f"{called} cannot be pruned: its forward pass depends on the number of its units in a way that"
                f" earlybird does not know ({type(error).__name__}: {first_line(error)}); {_WAY_OUT}"
            ) from error
        if not _same(self.silenced, removed):
            raise InputError(
                f"{called} cannot be pruned: it gives other outputs with its units removed than with the same units"
                f" silenced, so they are laid out or joined in a way that earlybird does not know; {_WAY_OUT}"
            )


class _Silence:
    """Forward pre-hook of an output projection: pruned units feed it nothing."""

    def __init__(self, kept: Tensor) -> None:
        self.kept = kept

    def __call__(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (inputs[0] * self.kept, *inputs[1:])


@contextlib.contextmanager
def silenced(model: nn.Module, masks: Iterable[tuple[Block, NDArray[np.bool_]]]) -> Iterator[None]:
    """The model with pruned units silent, its weights untouched."""
    handles = []
    for block, mask in masks:
        output = model.get_submodule(block.after.path)
        kept = torch.from_numpy(mask[block.after.unit_of]).to(next(output.parameters()).device)
        handles.append(output.register_forward_pre_hook(_Silence(kept)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def trial_of(model: nn.Module, block: Block) -> Trial | None:
    """Run a block of a model whose pruned units are silenced, or None where it cannot be run by itself."""
    module = model.get_submodule(block.name)
    weight = next(model.get_submodule(block.after.path).parameters())
    for arguments in _arguments(model, block, module, weight):
        try:
            outputs = _run(module, arguments)[:1]
        except Exception:  # the block cannot be run like that: no evidence
            continue
        if outputs and outputs[0].isfinite().all():
            return Trial(block.name, arguments, outputs)
    return None


def trial_of_model(model: nn.Module, inputs: Mapping[str, Any]) -> Trial:
    """Run a whole model whose pruned units are silenced, on inputs of the user's."""
    return Trial("", inputs, _run(model, inputs))


def untried(model: nn.Module, block: AttentionBlock) -> InputError:
    """What to say of an attention that could not be run by itself."""
    module = type(model.get_submodule(block.name)).__name__
    return InputError(
        f"{block.name} ({module}) cannot be run by itself to check that its heads can be removed, because its forward"
        f" pass wants arguments that are not known; check it on a batch of yours: prune(model, ticket, inputs=batch)"
    )


def trial_key(model: nn.Module, block: Block) -> tuple[Any, ...]:
    """Blocks with equal keys need one trial between them."""
    shapes = tuple((part.dim, len(part.unit_of)) for part in block.parts)
    return type(model.get_submodule(block.name)), type(block), block.units, shapes


def _arguments(model: nn.Module, block: Block, module: nn.Module, weight: Tensor) -> Iterator[dict[str, Any]]:
    """Guesses at the arguments of a block's forward pass, by their names, the likeliest first."""
    parameters = [
        parameter
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.kind == parameter.POSITIONAL_OR_KEYWORD
    ]
    if not parameters:
        return
    names = {parameter.name for parameter in parameters}
    required = {parameter.name for parameter in parameters[1:] if parameter.default is parameter.empty}
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(weight.device, weight.dtype)

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


def _window_areas(module: nn.Module) -> set[int]:
    """Positions of the windows that attention is computed in (Swin), also with a class token (BEiT)."""
    sizes = {vars(part).get("window_size") for part in module.modules()}
    squares = {(size, size) if type(size) is int else size for size in sizes}
    areas = {size[0] * size[1] for size in squares if isinstance(size, tuple) and len(size) == 2}
    return areas | {area + 1 for area in areas}


def _inputs(module: nn.Module) -> int:
    return int(module.nx if isinstance(module, Conv1D) else module.in_features)  # type: ignore[arg-type]


def _run(module: nn.Module, arguments: Mapping[str, Any]) -> list[Tensor]:
    with torch.no_grad(), _evaluated(module):
        return output_tensors(module(**arguments))


def _same(silenced: list[Tensor], removed: list[Tensor]) -> bool:
    if [tensor.shape for tensor in silenced] != [tensor.shape for tensor in removed]:
        return False
    size = max((float(tensor.abs().nan_to_num().max()) for tensor in silenced if tensor.numel()), default=0.0)
    tolerance = max((_TOLERANCE.get(tensor.dtype, 1e-1) for tensor in silenced), default=0.0)
    return largest_difference(silenced, removed) <= tolerance * max(size, 1e-6)


@contextlib.contextmanager
def _evaluated(module: nn.Module) -> Iterator[None]:
    """Without dropout; every module's mode is put back."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
