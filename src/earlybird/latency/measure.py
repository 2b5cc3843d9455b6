"""How long a forward pass takes by the widths of its blocks: equal blocks are pruned together, step by step, and timed.

What one block takes at a width is the difference that it makes to the whole network, over the number of equal blocks.
So what overlaps is counted once, and what is as wide as the model counts as fixed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from earlybird.anatomy import Anatomy, AttentionBlock, Block
from earlybird.anatomy.copies import copied
from earlybird.anatomy.example import known_example
from earlybird.config import PruningConfig
from earlybird.errors import InputError, first_line
from earlybird.masks import UnitCosts, WidthCurve
from earlybird.masks.unit_groups import unit_groups
from earlybird.surgery.prune import prune
from earlybird.ticket import Ticket
from earlybird.vocabulary import WEIGHED_KINDS, Kind

# Of the units, where not every count is measured. Real tickets seldom keep all but a few.
_SHARES = (0.9375, 0.75, 0.5, 0.375, 0.25, 0.125, 0.0625)
# Blocks of so few units are measured at every count.
_FEW = 16
# Of the passes at one width, and of those of the model as it is beside them: at least so many, and then enough.
_LEAST_PASSES = 5
_ENOUGH_PASSES = 50
_ENOUGH_SECONDS = 0.4


@dataclass(frozen=True)
class _Equals:
    """Blocks of a kind that take the same time at the same width.

    Attributes:
        kind: of their units.
        rows: which blocks of the kind they are.
        counts: of units to measure, descending from all.
        whole_groups: whether heads that share keys and values go with their whole group.
    """

    kind: Kind
    rows: tuple[int, ...]
    counts: tuple[int, ...]
    whole_groups: bool


class Clock:
    """Times forward passes of models, each beside one of the model as it is: the machine may grow slower meanwhile.

    Args:
        dense: the model as it is.
        inputs: of the passes.

    Raises:
        InputError: the model does not run.
    """

    def __init__(self, dense: nn.Module, inputs: Mapping[str, Tensor]) -> None:
        self._dense = dense
        self._inputs = inputs
        self._seconds: list[float] = []
        try:
            self._pass(dense)
        except Exception as error:
            raise InputError(
                f"{type(dense).__name__} does not run on an example of the shape that its config says"
                f" ({first_line(error)}), so that no forward pass can be measured; give a budget of FLOPs, or ratios"
            ) from error

    def share(self, model: nn.Module) -> float:
        """What a model takes of the time that the dense one takes."""
        self._pass(model)
        own: list[float] = []
        dense: list[float] = []
        while len(own) < _LEAST_PASSES or (len(own) < _ENOUGH_PASSES and sum(own) + sum(dense) < _ENOUGH_SECONDS):
            dense.append(self._pass(self._dense))
            own.append(self._pass(model))
        self._seconds += dense
        return float(np.median(own) / np.median(dense))

    @property
    def milliseconds(self) -> float:
        """Of the model as it is."""
        return float(np.median(self._seconds)) * 1e3

    def _pass(self, model: nn.Module) -> float:
        """Seconds of one."""
        began = time.perf_counter()
        with torch.inference_mode():
            model(**self._inputs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - began


def measured(model: nn.Module, anatomy: Anatomy, config: PruningConfig) -> UnitCosts:
    """The milliseconds of a forward pass by the number of units in each block.

    Args:
        model: without wrappers, on the device and in the dtype to measure; it is copied, and left alone.
        anatomy: of the blocks that may be pruned.
        config: the shape of the pass (`tokens`, `examples`), and what holds of the widths (`round_to`, `kv_groups`).

    Raises:
        InputError: nothing says what an example looks like, or the model does not run on it.
    """
    assert config.examples is not None
    inputs = example_batch(model, config.tokens, config.examples)
    dense = _to_time(model)
    clock = Clock(dense, inputs)
    every: dict[Kind, Sequence[Block]] = {"heads": anatomy.attention, "neurons": anatomy.mlp}
    shares: dict[Kind, dict[int, WidthCurve]] = {kind: {} for kind in WEIGHED_KINDS if every[kind]}
    for kind, found in shares.items():
        for equals in _groups(dense, anatomy, kind, every[kind], config, inputs):
            curve = _curve(_to_time(model), anatomy, equals, clock)
            found |= dict.fromkeys(equals.rows, curve)
    whole = clock.milliseconds
    curves = {
        kind: tuple(
            WidthCurve(found[row].counts, tuple(share * whole for share in found[row].costs)) for row in sorted(found)
        )
        for kind, found in shares.items()
    }
    variable = sum(curve.costs[-1] for some in curves.values() for curve in some)
    # A unit that measures as free, by noise, is the cheapest there is.
    least = 1e-6 * whole
    units = {
        kind: tuple(max(least, curve.costs[-1] / (curve.counts[-1] - curve.counts[0] or 1)) for curve in some)
        for kind, some in curves.items()
    }
    return UnitCosts(
        "milliseconds",
        config.tokens,
        units,
        tuple(0.0 for _ in anatomy.attention),
        max(0.0, whole - variable),
        whole,
        curves,
        config.examples,
    )


def example_batch(model: nn.Module, tokens: int, examples: int) -> dict[str, Tensor]:
    """Keyword arguments of a forward pass of so many examples, all zeros, on the model's device and in its dtype.

    Raises:
        InputError: nothing says what an example looks like.
    """
    weights = next(model.parameters())
    return {
        name: torch.zeros(
            (examples, *shape.shape[1:]),
            dtype=weights.dtype if shape.is_floating_point() else shape.dtype,
            device=weights.device,
        )
        for name, shape in known_example(model, tokens).items()
    }


def _to_time(model: nn.Module) -> nn.Module:
    return copied(model).eval().requires_grad_(False)


def _groups(
    model: nn.Module,
    anatomy: Anatomy,
    kind: Kind,
    blocks: Sequence[Block],
    config: PruningConfig,
    inputs: Mapping[str, Tensor],
) -> list[_Equals]:
    """Blocks of one class and shape that read equally many positions, with the counts to measure."""
    read = _positions_read(model, blocks, inputs)
    rows: dict[Any, list[int]] = {}
    for row, block in enumerate(blocks):
        shapes = tuple((part.dim, part.unit_of.shape) for part in block.parts)
        owner = model.get_submodule(block.owner if isinstance(block, AttentionBlock) else block.name)
        window = getattr(owner, "sliding_window", None)
        rows.setdefault((type(owner), shapes, read[row], str(window)), []).append(row)
    return [_equals(kind, tuple(some), blocks[some[0]], anatomy, config) for some in rows.values()]


def _positions_read(
    model: nn.Module, blocks: Sequence[Block], inputs: Mapping[str, Tensor]
) -> list[tuple[tuple[int, ...], ...]]:
    """The shapes of what enters each block's projections in a forward pass: queries, and keys; neurons."""
    seen: list[list[tuple[int, ...]]] = [[] for _ in blocks]
    handles = []
    for block, shapes in zip(blocks, seen, strict=True):
        paths = (block.query, block.key) if isinstance(block, AttentionBlock) else (block.input,)
        for path in dict.fromkeys(paths):
            handles.append(model.get_submodule(path).register_forward_pre_hook(_Seen(shapes)))
    try:
        with torch.inference_mode():
            model(**inputs)
    finally:
        for handle in handles:
            handle.remove()
    return [tuple(shapes) for shapes in seen]


class _Seen:
    """Forward pre-hook: notes the shape of what comes in."""

    def __init__(self, shapes: list[tuple[int, ...]]) -> None:
        self.shapes = shapes

    def __call__(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.shapes.append(tuple(inputs[0].shape))


def _equals(kind: Kind, rows: tuple[int, ...], block: Block, anatomy: Anatomy, config: PruningConfig) -> _Equals:
    """Equal blocks with the counts to measure, descending from all units to none."""
    units, step, whole_groups = block.units, config.round_to, False
    if isinstance(block, AttentionBlock):
        groups = anatomy.key_value_groups
        shared = None if groups is None else unit_groups((units,), (block.groups,), config.kv_groups)
        step = 1 if shared is None else units // shared.slots[0]
        whole_groups = shared is not None and shared.whole[0]
        if units // step <= _FEW:
            return _Equals(kind, rows, tuple(range(units, -1, -step)), whole_groups)
    # Tickets keep odd numbers, which some hardware is slower at than at multiples of 8.
    some = {int(share * units) // step * step if step > 1 else int(share * units) | 1 for share in _SHARES}
    counts = sorted({units, 0, *(count for count in some if 0 < count < units)}, reverse=True)
    return _Equals(kind, rows, tuple(counts), whole_groups)


def _curve(model: nn.Module, anatomy: Anatomy, equals: _Equals, clock: Clock) -> WidthCurve:
    """The share of the whole time that one of equal blocks takes at each count, above what it takes at the least."""
    shares = {equals.counts[0]: 1.0}
    for count in equals.counts[1:]:
        if not _prune_to(model, anatomy, equals, count):
            break
        shares[count] = clock.share(model)
    counts = sorted(shares)
    # Fewer units take no longer: what says otherwise is noise.
    costs = np.maximum.accumulate([shares[count] for count in counts])
    return WidthCurve(tuple(counts), tuple(((costs - costs[0]) / len(equals.rows)).tolist()))


def _prune_to(model: nn.Module, anatomy: Anatomy, equals: _Equals, count: int) -> bool:
    """Leave the first units of equal blocks; whether the model allows it, which of a block's last units it may not."""
    now = Anatomy.of(model, patterns=anatomy.patterns)
    names = [anatomy.names[equals.kind][row] for row in equals.rows]
    masks: NDArray[np.bool_] = np.zeros((len(now.units[equals.kind]), max(now.units[equals.kind])), dtype=np.bool_)
    blocks: Sequence[Block] = now.attention if equals.kind == "heads" else now.mlp
    for mask, block in zip(masks, blocks, strict=True):
        mask[: block.units] = _first(block, count, whole_groups=equals.whole_groups) if block.name in names else True
    try:
        prune(model, Ticket.of(now, {equals.kind: masks}, how="given"), patterns=anatomy.patterns)
    except InputError:
        return False
    return True


def _first(block: Block, count: int, *, whole_groups: bool) -> NDArray[np.bool_]:
    """The first units; of heads that share keys and values whole groups, or equally many of each."""
    unit = np.arange(block.units)
    if whole_groups or not isinstance(block, AttentionBlock) or block.groups == block.units:
        return unit < count
    return np.asarray(unit % block.heads_per_group < count // block.groups)
