"""A block run by itself on random features before and after surgery: its pruned units masked first, then removed.

What names and shapes cannot tell (how a fused projection is laid out, a norm between two projections, a number of
heads that the forward pass takes from elsewhere) shows in the outputs, whatever the family. Where a block cannot
be run alone, because its forward pass wants arguments that are not known, there is no evidence either way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from earlybird.anatomy import Block, MlpBlock
from earlybird.anatomy.blocks import Mixture
from earlybird.anatomy.wrappers import forget_compiled_code
from earlybird.errors import InputError, first_line
from earlybird.slimming.scaling import scale_parameter
from earlybird.surgery.forward_arguments import POSITIONAL, guessed_arguments, guessed_arguments_of_mixture
from earlybird.surgery.outputs import largest_difference, output_tensors
from earlybird.surgery.router_mask import mask_router

_WAY_OUT = "leave such blocks out by their names: Anatomy.of(model, exclude=[...])"
# Largest difference that rounding explains, relative to the largest output.
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 1e-1}


@dataclass(frozen=True)
class OutputCheck:
    """What a module gave with its pruned units masked.

    Attributes:
        name: of the module; "" is the whole model.
        arguments: of its forward pass.
        masked: its outputs, of a block the first one.
        emptied: whether it is an attention that loses its last head.
        of_experts: whether it is the experts of a mixture.
        routed: the mixture whose router and experts are run one after the other instead of the module.
    """

    name: str
    arguments: Mapping[str, Any]
    masked: list[Tensor]
    emptied: bool = False
    of_experts: bool = False
    routed: Mixture | None = None

    def check(self, model: nn.Module) -> None:
        """Run the module again, now that the units are removed.

        Raises:
            InputError: it breaks, or gives something else.
        """
        module = model.get_submodule(self.name) if self.routed is None else _Routed(model, self.routed)
        called = f"{self.name} ({type(module).__name__})" if self.name else type(module).__name__
        try:
            removed = _run(module, self.arguments)[: len(self.masked)]
        except Exception as error:
            if self.emptied:
                raise self._not_its_bias_alone(called) from error
            if self.of_experts:
                raise InputError(
                    f"{called} does not run with so many neurons in an expert ({first_line(error)}): keep a multiple of"
                    ' 8 (round_to=8), or compute without that kernel, model.set_experts_implementation("eager")'
                ) from error
            raise InputError(
                f"{called} cannot be pruned: its forward pass depends on the number of its units in a way that"
                f" earlybird does not know ({type(error).__name__}: {first_line(error)}); {_WAY_OUT}"
            ) from error
        if not _same(self.masked, removed):
            if self.emptied:
                raise self._not_its_bias_alone(called)
            raise InputError(
                f"{called} cannot be pruned: it gives other outputs with its units removed than with the same units"
                f" masked, so they are laid out or joined in a way that earlybird does not know; {_WAY_OUT}"
            )

    def _not_its_bias_alone(self, called: str) -> InputError:
        return InputError(
            f"{called} cannot lose its last head: its forward pass gives more than the bias of its output projection"
            " then, a residual or a norm; keep a head of it (whole_blocks=False, or exclude it by name)"
        )


class _Masking:
    """Forward pre-hook of an output projection: pruned units feed it nothing."""

    def __init__(self, kept: Tensor) -> None:
        self.kept = kept

    def __call__(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (inputs[0] * self.kept, *inputs[1:])


@contextlib.contextmanager
def masked(
    model: nn.Module,
    masks: Iterable[tuple[Block, NDArray[np.bool_]]],
    mixtures: Iterable[tuple[Mixture, NDArray[np.bool_]]] = (),
) -> Iterator[None]:
    """The model with pruned units masked, its weights as they were in the end."""
    undo: list[Callable[[], None]] = []
    forget_compiled_code()
    try:
        undo += [mask_router(model, mixture, mask) for mixture, mask in mixtures]
        for block, mask in masks:
            output = model.get_submodule(block.after.path)
            if isinstance(block, MlpBlock) and block.experts:
                off = torch.from_numpy(mask.astype(np.float32) - 1).to(next(output.parameters()).device)
                hooks = scale_parameter(output, block.after.parameter, off, block.entering_output)
            else:
                kept = torch.from_numpy(mask[block.after.unit_of]).to(next(output.parameters()).device)
                hooks = [output.register_forward_pre_hook(_Masking(kept))]
            undo += [hook.remove for hook in hooks]
        yield
    finally:
        for put_back in undo:
            put_back()
        forget_compiled_code()


def output_check_of_mixture(model: nn.Module, mixture: Mixture) -> OutputCheck | None:
    """Run a mixture whose router passes over pruned experts, or None where it cannot be run by itself.

    Where the module around the two wants more than features (a whole layer, as of Gemma 4), they are run one after the
    other.
    """
    ways: tuple[tuple[nn.Module, Mixture | None], ...] = (
        (model.get_submodule(mixture.owner), None),
        (_Routed(model, mixture), mixture),
    )
    for module, routed in ways:
        for arguments in guessed_arguments_of_mixture(model, mixture):
            try:
                outputs = _run(module, arguments)[:1]
            except Exception:  # it cannot be run like that: no evidence
                continue
            if outputs and (outputs[0].is_meta or outputs[0].isfinite().all()):
                return OutputCheck(mixture.owner, arguments, outputs, of_experts=True, routed=routed)
    return None


class _Routed(nn.Module):
    """A router and its experts, one after the other."""

    def __init__(self, model: nn.Module, mixture: Mixture) -> None:
        super().__init__()
        self.router = model.get_submodule(mixture.router)
        self.experts = model.get_submodule(mixture.name)

    def forward(self, features: Tensor) -> Tensor:
        given = [each for each in self.router(features) if isinstance(each, Tensor)]
        picked = next(each for each in given if not each.is_floating_point())
        weights = next(each for each in given if each.is_floating_point() and each.shape == picked.shape)
        result: Tensor = self.experts(features, picked, weights)
        return result


def output_check_of(model: nn.Module, block: Block, *, emptied: bool = False) -> OutputCheck | None:
    """Run a block of a model whose pruned units are masked, or None where it cannot be run by itself."""
    module = model.get_submodule(block.name)
    for arguments in guessed_arguments(model, block):
        try:
            outputs = _run(module, arguments)[:1]
        except Exception:  # the block cannot be run like that: no evidence
            continue
        if outputs and (outputs[0].is_meta or outputs[0].isfinite().all()):
            experts = isinstance(block, MlpBlock) and block.experts > 0
            return OutputCheck(block.name, arguments, outputs, emptied, experts)
    return None


def output_check_of_model(model: nn.Module, inputs: Mapping[str, Any]) -> OutputCheck:
    """Run a whole model whose pruned units are masked, on inputs of the user's."""
    return OutputCheck("", inputs, _run(model, inputs))


def cannot_be_checked(model: nn.Module, block: Block | Mixture) -> InputError:
    """What to say of a block that could not be run by itself."""
    name = block.owner if isinstance(block, Mixture) else block.name
    module = type(model.get_submodule(name)).__name__
    return InputError(
        f"{name} ({module}) cannot be run by itself to check that its units can be removed, because its forward"
        f" pass wants arguments that are not known; check it on a batch of yours: prune(model, ticket, inputs=batch)"
    )


def check_key(model: nn.Module, block: Block) -> tuple[Any, ...]:
    """Blocks with equal keys need one check between them."""
    shapes = tuple((part.dim, part.unit_of.shape) for part in block.parts)
    return type(model.get_submodule(block.name)), type(block), block.units, shapes


def mixture_key_of(model: nn.Module, mixture: Mixture) -> tuple[Any, ...]:
    """Mixtures with equal keys need one check between them."""
    return type(model.get_submodule(mixture.owner)), Mixture, mixture.units, mixture.routing_groups


def _run(module: nn.Module, arguments: Mapping[str, Any]) -> list[Tensor]:
    with torch.no_grad(), evaluated(module), _default_device(next(module.parameters()).device):
        named = {name: value for name, value in arguments.items() if name != POSITIONAL}
        return output_tensors(module(*arguments.get(POSITIONAL, ()), **named))


def _same(masked: list[Tensor], removed: list[Tensor]) -> bool:
    if [tensor.shape for tensor in masked] != [tensor.shape for tensor in removed]:
        return False
    size = max((float(tensor.abs().nan_to_num().max()) for tensor in masked if tensor.numel()), default=0.0)
    tolerance = max((_TOLERANCE.get(tensor.dtype, 1e-1) for tensor in masked), default=0.0)
    return largest_difference(masked, removed) <= tolerance * max(size, 1e-6)


def _default_device(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Where a forward pass makes tensors of its own: on the device of the model, whatever the user's default is."""
    return contextlib.nullcontext() if torch.get_default_device() == device else device


@contextlib.contextmanager
def evaluated(module: nn.Module) -> Iterator[None]:
    """Without dropout; every module's mode is put back."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
