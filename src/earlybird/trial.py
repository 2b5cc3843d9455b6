"""A block run by itself on random features before and after surgery: silenced first, then removed.

What names and shapes cannot tell (how a fused projection is laid out, a norm between two projections, a number of
heads that the forward pass takes from elsewhere) shows in the outputs, whatever the family. Where a block cannot
be run alone, because its forward pass wants arguments that are not known, there is no evidence either way.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from earlybird.anatomy import AttentionBlock, MlpBlock
from earlybird.anatomy.patterns import AMBIGUOUS_WIDTHS
from earlybird.anatomy.reading import names_read
from earlybird.errors import InputError
from earlybird.position_bias import bias_heads

_LENGTH = 6
_GRID = (2, 3)
_WAY_OUT = "leave such blocks out by their names: Anatomy.of(model, exclude=[...])"
# Largest difference that rounding explains, relative to the largest output.
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 1e-1}


@dataclass(frozen=True)
class Trial:
    """What a block gave with its pruned units silenced."""

    block: AttentionBlock | MlpBlock
    arguments: dict[str, Any]
    silenced: Tensor

    def check(self, model: nn.Module) -> None:
        """Run the block again, now that its units are removed.

        Raises:
            InputError: it breaks, or gives something else.
        """
        module = model.get_submodule(self.block.name)
        try:
            removed = _run(module, self.arguments)
        except Exception as error:
            raise InputError(
                f"{self.block.name} cannot be pruned: the forward pass of {type(module).__name__} depends on the number"
                f" of its units in a way that earlybird does not know ({_first_line(error)}); {_WAY_OUT}"
            ) from error
        scale = max(1e-6, float(self.silenced.abs().max()))
        same = removed.shape == self.silenced.shape and (
            float((removed - self.silenced).abs().max()) <= _TOLERANCE.get(removed.dtype, 1e-1) * scale
        )
        if not same:
            raise InputError(
                f"{self.block.name} cannot be pruned: run by itself, {type(module).__name__} gives other outputs with its"
                " units removed than with the same units silenced, so its units are laid out or joined in a way that"
                f" earlybird does not know; {_WAY_OUT}"
            )


class _Silence:
    """Forward pre-hook of an output projection: pruned units feed it nothing."""

    def __init__(self, kept: Tensor) -> None:
        self.kept = kept

    def __call__(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (inputs[0] * self.kept, *inputs[1:])


@contextlib.contextmanager
def silenced(model: nn.Module, masks: Iterable[tuple[AttentionBlock | MlpBlock, NDArray[np.bool_]]]) -> Iterator[None]:
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


def trial_of(model: nn.Module, block: AttentionBlock | MlpBlock) -> Trial | None:
    """Run a block of a model whose pruned units are silenced, or None where it cannot be run by itself."""
    module = model.get_submodule(block.name)
    weight = next(model.get_submodule(block.after.path).parameters())
    for arguments in _arguments(model, block, module, weight):
        try:
            output = _run(module, arguments)
        except Exception:  # the block cannot be run like that: no evidence
            continue
        if output.isfinite().all():
            return Trial(block, arguments, output)
    return None


def refuse_untried(model: nn.Module, block: AttentionBlock | MlpBlock) -> None:
    """Refuse a block that could not be tried and whose forward pass reads a width that may be another's.

    Names like embed_dim are the width of the heads in one family and that of the model in the next; which one
    shows when the block runs.
    """
    for count in block.head_counts if isinstance(block, AttentionBlock) else ():
        path, _, attribute = count.path.rpartition(".")
        module = model.get_submodule(path)
        if attribute in AMBIGUOUS_WIDTHS and attribute in names_read(type(module)):
            raise InputError(
                f"{block.name} cannot be pruned: the forward pass of {type(module).__name__} reads {attribute}, which may"
                " be the width of its heads or that of the model, and it cannot be run by itself to find out;"
                f" {_WAY_OUT}"
            )


def trial_key(model: nn.Module, block: AttentionBlock | MlpBlock) -> tuple[Any, ...]:
    """Blocks with equal keys need one trial between them."""
    shapes = tuple((part.dim, len(part.unit_of)) for part in block.parts)
    return type(model.get_submodule(block.name)), type(block), block.units, shapes


def _arguments(
    model: nn.Module, block: AttentionBlock | MlpBlock, module: nn.Module, weight: Tensor
) -> Iterator[dict[str, Any]]:
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
    known["mask"] = weight.new_ones(1, _LENGTH)
    if isinstance(block, AttentionBlock):
        known["alibi"] = random(bias_heads(model.get_submodule(block.owner), block.units), 1, _LENGTH)
        key_width = _inputs(model.get_submodule(block.key))
        if key_width != width or any(word in block.name.lower() for word in ("cross", "encdec", "encoder_attn")):
            known |= dict.fromkeys(("key_value_states", "encoder_hidden_states"), random(1, _LENGTH, key_width))
    masks = (None, weight.new_zeros(1, 1, _LENGTH, _LENGTH), weight.new_ones(1, _LENGTH))
    for shape in ((1, _LENGTH, width), (1, *_GRID, width), (_LENGTH, width), (_LENGTH * _LENGTH, 1, width)):
        features = random(*shape)
        for mask, unknown, part in itertools.product(
            masks if "attention_mask" in names else (None,),
            (None, features) if required - known.keys() - {"attention_mask", "position_embeddings"} else (None,),
            (1, 2, 4) if "position_embeddings" in names else (1,),
        ):
            angles = random(*shape[:-1], max(1, size // part))
            here = {**known, "attention_mask": mask, "position_embeddings": (angles.cos(), angles.sin())}
            chosen = {name: here.get(name, unknown) for name in names if name in here or name in required}
            yield {**chosen, parameters[0].name: features}


def _inputs(module: nn.Module) -> int:
    return int(module.in_features if isinstance(module, nn.Linear) else module.nx)  # type: ignore[arg-type]


def _run(module: nn.Module, arguments: dict[str, Any]) -> Tensor:
    with torch.no_grad(), _evaluated(module):
        result = module(**arguments)
    while not isinstance(result, Tensor):
        result = next(iter(result.values() if isinstance(result, dict) else result))
    return result


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


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0]
