"""A block run by itself on random features before and after surgery: silenced first, then removed.

What names and shapes cannot tell (how a fused projection is laid out, a norm between two projections, a number of
heads that the forward pass takes from elsewhere) shows in the outputs, whatever the family. Where a block cannot
be run alone, because its forward pass wants arguments that are not known, there is no evidence either way.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from earlybird.anatomy import AttentionBlock, MlpBlock
from earlybird.errors import InputError

_LENGTH = 6
_GRID = (2, 3)
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
                f" of its units in a way that earlybird does not know ({_first_line(error)})"
            ) from error
        scale = max(1e-6, float(self.silenced.abs().max()))
        same = removed.shape == self.silenced.shape and (
            float((removed - self.silenced).abs().max()) <= _TOLERANCE.get(removed.dtype, 1e-1) * scale
        )
        if not same:
            raise InputError(
                f"{self.block.name} cannot be pruned: run by itself, {type(module).__name__} gives other outputs with its"
                " units removed than with the same units silenced; its projections are laid out in a way that earlybird"
                " does not know"
            )


def trial_of(model: nn.Module, block: AttentionBlock | MlpBlock, mask: NDArray[np.bool_]) -> Trial | None:
    """Run a block with its pruned units silenced, or None where it cannot be run by itself."""
    module = model.get_submodule(block.name)
    output = model.get_submodule(block.after.path)
    weight = next(iter(output.parameters()))
    if weight.device.type == "meta":
        return None
    kept = torch.from_numpy(mask[block.after.unit_of]).to(weight.device)

    def silence(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (inputs[0] * kept, *inputs[1:])

    for arguments in _arguments(model, block, module, weight):
        handle = output.register_forward_pre_hook(silence)
        try:
            silenced = _run(module, arguments)
        except Exception:  # the block cannot be run like that: no evidence
            continue
        finally:
            handle.remove()
        if silenced.isfinite().all():
            return Trial(block, arguments, silenced)
    return None


def trial_key(model: nn.Module, block: AttentionBlock | MlpBlock) -> tuple[Any, ...]:
    """Blocks with equal keys need one trial between them."""
    shapes = tuple((part.dim, len(part.unit_of)) for part in block.parts)
    return type(model.get_submodule(block.name)), type(block), block.units, shapes


def _arguments(
    model: nn.Module, block: AttentionBlock | MlpBlock, module: nn.Module, weight: Tensor
) -> Iterator[dict[str, Any]]:
    """Guesses at the arguments of a block's forward pass, by their names."""
    signature = list(inspect.signature(module.forward).parameters.values())
    if not signature:
        return
    place: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
    generator = torch.Generator().manual_seed(0)

    def features(path: str, length: int) -> Tensor:
        return torch.randn(1, length, _inputs(model.get_submodule(path)), generator=generator).to(**place)

    first, *rest = signature
    attention = isinstance(block, AttentionBlock)
    path = block.query if isinstance(block, AttentionBlock) else block.input
    base: dict[str, Any] = {first.name: features(path, _LENGTH)}
    if first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
        return
    positions = torch.arange(_LENGTH, device=weight.device)[None]
    known: dict[str, Any] = {"position_ids": positions, "height": _GRID[0], "width": _GRID[1]}
    if isinstance(block, AttentionBlock):
        known["alibi"] = torch.zeros(block.units, 1, _LENGTH, **place)
        if model.get_submodule(block.key).weight.shape != model.get_submodule(block.query).weight.shape or any(
            word in block.name.lower() for word in ("cross", "encdec", "encoder_attn")
        ):
            known |= dict.fromkeys(("key_value_states", "encoder_hidden_states"), features(block.key, _LENGTH))
    for parameter in rest:
        if parameter.name in known:
            base[parameter.name] = known[parameter.name]
        elif parameter.default is inspect.Parameter.empty and parameter.kind == parameter.POSITIONAL_OR_KEYWORD:
            base[parameter.name] = None
    names = {parameter.name for parameter in rest}
    if attention and "position_embeddings" in names and isinstance(block, AttentionBlock):
        for size in (block.unit_size, block.unit_size // 2, block.unit_size // 4):
            angles = torch.rand(1, _LENGTH, max(1, size), generator=generator).to(**place)
            yield {**base, "position_embeddings": (angles.cos(), angles.sin())}
    yield base


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
