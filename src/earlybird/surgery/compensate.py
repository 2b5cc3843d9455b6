"""Compensation: before units are removed, the projections out of their blocks are refitted on a few batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from earlybird.anatomy import MlpBlock
from earlybird.anatomy.agreement import together
from earlybird.anatomy.distributed import several
from earlybird.anatomy.paths import tensor_at
from earlybird.anatomy.projections import Projection, projection_at
from earlybird.anatomy.wrappers import called, forget_compiled_code, is_lora, unwrapped
from earlybird.config import is_number
from earlybird.errors import InputError, first_line
from earlybird.surgery.moments import Moments
from earlybird.surgery.output_check import evaluated
from earlybird.surgery.padding import Padding
from earlybird.surgery.plan import SurgeryPlan
from earlybird.surgery.refit import refitted

Batch = Mapping[str, Any] | Tensor | Callable[[nn.Module], Any]
Method = Literal["ridge", "mean"]


class CannotCompensateError(InputError):
    """The batches cannot serve for a refit; without one the same model can be pruned."""


@dataclass(frozen=True)
class Compensation:
    """How the projections out of pruned blocks are refitted.

    Attributes:
        batches: each the keyword arguments of the model's forward pass, or its one tensor, or what is called with the
            model to run it; some sixteen are enough. Tokens that an `attention_mask` calls padding are left out.
        ridge: of the regression, relative to the mean variance of what enters the projection.
        method: "ridge" refits the kept columns and the bias; "mean" moves what the pruned units gave on average into
            the bias, which needs no second moments.
        memory: bytes of moments held at once; where that is not enough the batches are gone through again.

    Raises:
        InputError: a number out of bounds, or an unknown method.
    """

    batches: Iterable[Batch]
    ridge: float = 0.1
    method: Method = "ridge"
    memory: int = 1 << 30

    def __post_init__(self) -> None:
        if not isinstance(self.batches, Iterable) or isinstance(self.batches, (Mapping, Tensor, str)):
            raise InputError(
                f"compensate must be batches to run the model on, got {type(self.batches).__name__}; give a list:"
                " compensate=[batch, batch]"
            )
        if not (is_number(self.ridge) and self.ridge >= 0):
            raise InputError(f"ridge must be a number of at least 0, got {self.ridge!r}; 0.1 does well")
        if self.method not in ("ridge", "mean"):
            raise InputError(f'method must be "ridge" or "mean", got {self.method!r}')
        if type(self.memory) is not int or self.memory < 1:
            raise InputError(f"memory must be a whole number of bytes, got {self.memory!r}; 1 << 30 is 1 GiB")


@dataclass
class _Refit:
    """A projection out of a pruned block, and what has entered it."""

    block: str
    projection: Projection
    kept: Tensor
    bias: str | None
    moments: Moments = field(init=False)

    def begin(self, method: Method) -> None:
        self.moments = Moments(self.kept, centred=self.bias is not None, products=method == "ridge")

    @property
    def bytes(self) -> int:
        return Moments.size(len(self.kept), int(self.kept.sum()))


def compensated(
    model: nn.Module,
    plan: SurgeryPlan,
    compensation: Compensation,
    *,
    by_all: bool = False,
    runs: nn.Module | None = None,
) -> dict[str, Tensor]:
    """Refit the projections out of all blocks that lose units; the model is left as it is.

    The model runs in evaluation mode, without gradients, on its device.

    Args:
        model: itself, without wrappers, before pruning.
        plan: of its surgery.
        compensation: how, and on which batches.
        by_all: several processes hold the model, each refits it, and all take part with batches of their own.
        runs: a model with the same weights to run in its place, sharded over the processes for instance, with what
            wraps it.

    Returns:
        Path of a parameter -> its new value, of the shape, dtype and device that it has.

    Raises:
        InputError: no batches, or such that the model does not take, that do not reach a block, or hold too few tokens
            for it; numbers that are not finite; a projection without a bias and method="mean"; too little memory.
    """
    if several() and not by_all:
        raise InputError(
            "compensate, in one of several processes, would refit on its own batches alone: give the model in its"
            " wrapper (DDP), in every process, so that all refit on the batches of all"
        )
    if next(model.parameters()).is_meta:
        raise InputError(
            "a model on the meta device cannot be run on batches to compensate on: give it its weights first"
        )
    runs = model if runs is None else runs
    refits = _refits(model, plan, unwrapped(runs))
    batches = compensation.batches
    passes = _passes(refits, compensation)
    if len(passes) > 1 and iter(batches) is batches:
        batches = list(batches)
    values: dict[str, Tensor] = {}
    for refitted_now in passes:
        for refit in refitted_now:
            refit.begin(compensation.method)
        if by_all:
            together(partial(_run, runs, batches, refitted_now))
            for refit in refitted_now:
                refit.moments.add_those_of_other_processes()
        else:
            _run(runs, batches, refitted_now)
        for refit in refitted_now:
            values |= _new_values(model, refit, compensation)
            del refit.moments
    return values


def _refits(model: nn.Module, plan: SurgeryPlan, runs: nn.Module) -> list[_Refit]:
    modules = dict(model.named_modules())
    refits = []
    for block, mask in plan.changed:
        if isinstance(block, MlpBlock) and block.experts:
            continue  # no module has what enters their projection
        projection = projection_at(modules, block.after.path)
        assert projection is not None
        unit_of = block.after.unit_of
        kept = np.where(unit_of < 0, True, mask[unit_of])
        device = tensor_at(runs, projection.columns[0][0]).device
        bias = projection.columns[0][0].removesuffix("weight") + "bias"
        has_bias = bias in (name for name, _ in projection.rows)
        refits.append(_Refit(block.name, projection, torch.from_numpy(kept).to(device), bias if has_bias else None))
    return refits


def _passes(refits: Sequence[_Refit], compensation: Compensation) -> list[list[_Refit]]:
    """Which projections are refitted together, so that their moments fit into the memory."""
    passes: list[list[_Refit]] = []
    free = 0
    for refit in refits:
        needed = refit.bytes if compensation.method == "ridge" else 8 * len(refit.kept)
        if needed > compensation.memory:
            raise CannotCompensateError(
                f"the moments of what enters {refit.projection.path} take {needed:,} bytes, more than"
                f' memory={compensation.memory:,}: allow that much, or use method="mean"'
            )
        if needed > free:
            passes.append([])
            free = compensation.memory
        passes[-1].append(refit)
        free -= needed
    return passes


def _run(model: nn.Module, batches: Iterable[Batch], refits: Sequence[_Refit]) -> None:
    """Run the model on batches, and sum up what enters the projections."""
    device = next(model.parameters()).device
    inner, with_arguments = unwrapped(model), called(model)
    padding = Padding(with_arguments)
    handles = [with_arguments.register_forward_pre_hook(padding, with_kwargs=True)]
    handles += [
        inner.get_submodule(refit.projection.path).register_forward_pre_hook(_Adding(refit, padding))
        for refit in refits
    ]
    forget_compiled_code()
    number = -1
    try:
        with torch.no_grad(), evaluated(model):
            for number, batch in enumerate(batches):
                _run_once(model, batch, number, device)
    finally:
        for handle in handles:
            handle.remove()
        forget_compiled_code()
    if number < 0:
        raise CannotCompensateError("compensate holds no batches: give some, sixteen do well, or leave it out")


def _run_once(model: nn.Module, batch: Batch, number: int, device: torch.device) -> None:
    if not isinstance(batch, Mapping | Tensor) and not callable(batch):
        raise InputError(
            f"batch {number} of those to compensate on is a {type(batch).__name__}: give the keyword arguments of the"
            " model's forward pass, its one tensor, or a function that runs the model"
        )
    try:
        if isinstance(batch, Mapping):
            model(**{name: value.to(device) if isinstance(value, Tensor) else value for name, value in batch.items()})
        elif isinstance(batch, Tensor):
            model(batch.to(device))
        else:
            batch(model)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise CannotCompensateError(
            f"the model does not take batch {number} of those to compensate on: {type(error).__name__}:"
            f" {first_line(error)}"
        ) from error


class _Adding:
    """Forward pre-hook of a projection: adds what enters it to its moments, without padding."""

    def __init__(self, refit: _Refit, padding: Padding) -> None:
        self.refit = refit
        self.padding = padding

    def __call__(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.refit.moments.add(self.padding.visible_tokens(self.refit.block, inputs[0]))


@torch.no_grad()
def _new_values(model: nn.Module, refit: _Refit, compensation: Compensation) -> dict[str, Tensor]:
    """Path -> value of a projection's weight and bias."""
    path, dim = refit.projection.columns[0]
    _check_seen(refit, compensation.method)
    weight = tensor_at(model, path)
    whole = _with_adapters(model.get_submodule(refit.projection.path), weight)
    whole = whole.to(refit.kept.device)
    change, shift = refitted(whole if dim == 1 else whole.T, refit.moments, compensation.ridge)
    if not (change.isfinite().all() and shift.isfinite().all()):
        raise CannotCompensateError(f"what enters {refit.projection.path} on these batches is not finite")
    values = {}
    if compensation.method == "ridge":
        new = weight.detach().to(torch.float64, copy=True)
        kept, change = refit.kept.to(new.device), change.to(new.device)
        if dim == 1:
            new[:, kept] += change
        else:
            new[kept] += change.T
        values[path] = new.to(weight.dtype)
    if refit.bias is not None:
        bias = tensor_at(model, refit.bias)
        values[refit.bias] = (bias.detach().double() + shift.to(bias.device)).to(bias.dtype)
    for name, value in values.items():
        if not value.isfinite().all():
            raise CannotCompensateError(f"{name}, refitted, is beyond the range of {value.dtype}: give a larger ridge")
    return values


def _check_seen(refit: _Refit, method: Method) -> None:
    tokens, kept = refit.moments.tokens, int(refit.kept.sum())
    path = refit.projection.path
    if not tokens:
        raise CannotCompensateError(f"nothing has entered {path} on the batches to compensate on")
    if method == "mean":
        if refit.bias is None:
            raise CannotCompensateError(f'{path} has no bias to move the means into: use method="ridge"')
    elif tokens < kept:
        raise CannotCompensateError(
            f"the refit of {path} needs at least as many tokens as it keeps features, {kept}, and the batches hold"
            f" {tokens}: give {-(-kept // tokens)} times as many"
        )


def _with_adapters(module: nn.Module, weight: Tensor) -> Tensor:
    """A projection's weight, with that of the LoRA beside it where that acts."""
    if not is_lora(module):
        return weight
    layer: Any = module
    if layer.disable_adapters or layer.merged:
        return weight
    active = [name for name in layer.active_adapters if name in layer.lora_A]
    return sum((layer.get_delta_weight(name) for name in active), start=weight.detach())
