"""What each unit of a model costs, by running the model once on shapes alone or by counting its parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn

from earlybird.anatomy.bias_tables import copied_table, untied
from earlybird.anatomy.blocks import AttentionBlock, Block, MlpBlock, Part
from earlybird.anatomy.flops import flops_by_module
from earlybird.anatomy.paths import is_in
from earlybird.errors import InputError, first_line
from earlybird.masks.unit_costs import UnitCosts
from earlybird.vocabulary import Kind, Measure

Blocks = Mapping[Kind, Sequence[Block]]


def parameters_of_units(model: nn.Module, blocks: Blocks, tokens: int) -> UnitCosts:
    """The parameters of the blocks' projections, and of what else goes with their units.

    A block that gets a table of position biases of its own once heads are pruned (T5) pays for it.

    Args:
        model: that the blocks are of, without wrappers.
        blocks: per kind.
        tokens: of which parameters know nothing.
    """
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    copies = dict(filter(None, (copied_table(b) for b in blocks.get("heads", ()) if isinstance(b, AttentionBlock))))
    sizes |= {copy: sizes[original] for copy, original in copies.items()}
    costs = _Sum()
    counted: set[str] = set()
    for kind, some in blocks.items():
        for block in some:
            block = untied(block) if isinstance(block, AttentionBlock) else block
            parts = _parts_by_parameter(block)
            inside = [name for name in sizes if any(is_in(name, path) for path in _projections(block))]
            names = [name for name in dict.fromkeys((*parts, *inside)) if name in sizes and name not in counted]
            counted.update(names)
            costs.add(kind, block, [(sizes[name], _shares(parts.get(name, ()), block)) for name in names])
    return costs.result("parameters", tokens, whole=costs.total - sum(sizes[copy] for copy in copies))


def flops_of_units(model: nn.Module, blocks: Blocks, example: Mapping[str, Tensor], tokens: int) -> UnitCosts:
    """The FLOPs of the blocks in one forward pass of an example.

    Each projection's FLOPs are shared among the units and the key/value groups by the features that they own; those of
    queries by keys and of scores by values are shared among the heads. So every call of a shared layer counts, and
    blocks that read other numbers of tokens cost what they cost.

    Args:
        model: that the blocks are of, without wrappers.
        blocks: per kind.
        example: keyword arguments of the forward pass, of which the shapes are read alone.
        tokens: that it was asked to have.

    Raises:
        InputError: the forward pass does not run on shapes alone.
    """
    try:
        whole, products = flops_by_module(model, example)
    except Exception as error:  # some forward passes look at values, of which there are none
        raise InputError(
            f"the FLOPs of {type(model).__name__} cannot be counted, since it does not run on shapes alone"
            f" ({first_line(error)}); give a budget of parameters, or ratios"
        ) from error
    costs = _Sum()
    for kind, some in blocks.items():
        for block in some:
            parts, projections = _parts_by_parameter(block), _projections(block)
            pieces = [piece for path in projections for piece in _of_projection(path, block, whole, parts)]
            if isinstance(block, AttentionBlock):
                inside = sum(products.get(path, 0) for path in projections if is_in(path, block.owner))
                pieces.append((products.get(block.owner, 0) - inside, (1 / block.units, 0.0)))
            if not any(cost * (unit + group) for cost, (unit, group) in pieces):
                raise InputError(
                    f"{block.name} has no FLOPs in a forward pass of an example, so that no budget can count its"
                    f" {kind}: leave it alone, exclude=[{block.name!r}], or give a budget of parameters, or ratios"
                )
            costs.add(kind, block, pieces)
    return costs.result("flops", tokens, whole=costs.total)


class _Sum:
    """Adds up what blocks cost."""

    def __init__(self) -> None:
        self.total = 0.0
        self._units: dict[Kind, list[float]] = {}
        self._groups: list[float] = []
        self._fixed = 0.0

    def add(self, kind: Kind, block: Block, pieces: Sequence[tuple[float, tuple[float, float]]]) -> None:
        """The next block of a kind: costs, each with the share of it that goes with a unit and with a group."""
        of_unit = sum(cost * unit for cost, (unit, _) in pieces)
        of_group = sum(cost * group for cost, (_, group) in pieces)
        whole = sum(cost for cost, _ in pieces)
        self.total += whole
        self._fixed += whole - of_unit * block.units - of_group * _groups(block)
        self._units.setdefault(kind, []).append(of_unit)
        self._groups += [of_group] if isinstance(block, AttentionBlock) else []

    def result(self, measure: Measure, tokens: int, *, whole: float) -> UnitCosts:
        """What was added; `whole` is their cost before any is pruned."""
        units = {kind: tuple(costs) for kind, costs in self._units.items()}
        # Shares such as 1/7 leave a rounding error where nothing is fixed.
        return UnitCosts(measure, tokens, units, tuple(self._groups), max(0.0, self._fixed), whole)


def _of_projection(
    path: str, block: Block, whole: Mapping[str, int], parts: Mapping[str, Sequence[Part]]
) -> list[tuple[float, tuple[float, float]]]:
    """FLOPs of the matrices in a projection, each with its shares; two more beside LoRA, of which one has no units."""
    if isinstance(block, MlpBlock) and block.experts:
        return [(float(whole.get(path, 0)), (1 / block.units, 0.0))]
    matrices = {name.rpartition(".")[0]: of_it for name, of_it in parts.items() if name.endswith(".weight")}
    pieces = [
        (float(whole.get(matrix, 0)), _shares(of_it, block))
        for matrix, of_it in matrices.items()
        if is_in(matrix, path)
    ]
    rest = whole.get(path, 0) - sum(cost for cost, _ in pieces)
    return [*pieces, (rest, (0.0, 0.0))]


def _groups(block: Block) -> int:
    """The groups that own something beside the heads; none where each head is its own."""
    return block.groups if isinstance(block, AttentionBlock) and block.groups < block.units else 0


def _projections(block: Block) -> tuple[str, ...]:
    """The paths of a block's projections, each once."""
    if isinstance(block, AttentionBlock):
        return tuple(dict.fromkeys((block.query, block.key, block.value, block.output)))
    return tuple(dict.fromkeys((*block.inputs, block.output)))


def _parts_by_parameter(block: Block) -> dict[str, list[Part]]:
    parts: dict[str, list[Part]] = {}
    for part in block.parts:
        parts.setdefault(part.parameter, []).append(part)
    return parts


def _shares(parts: Sequence[Part], block: Block) -> tuple[float, float]:
    """Of a parameter's entries the share that goes with one unit, and with one key/value group.

    Of heads that are their own groups, keys and values go with the head.
    """
    unit = math.prod(float(np.mean(part.unit_of == 0)) for part in parts) if parts else 0.0
    group = math.prod(float(np.mean(part.unit_of == block.units)) for part in parts) if parts else 0.0
    return (unit, group) if _groups(block) else (unit + group, 0.0)
