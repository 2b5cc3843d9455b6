"""Finds the blocks of a model: which modules hold its attention heads and its MLP neurons."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from earlybird.errors import InputError
from earlybird.head_counts import admitted_head_counts
from earlybird.trajectory import Kind

# Relative paths of the query, key, value and output projections below an attention module.
ATTENTION_PATTERNS: tuple[tuple[str, str, str, str], ...] = (
    ("q_proj", "k_proj", "v_proj", "o_proj"),  # vit, deit (transformers 5.20 and newer)
    ("self.query", "self.key", "self.value", "output.dense"),  # bert, roberta, electra
    ("attention.query", "attention.key", "attention.value", "output.dense"),  # vit, deit before, dinov2
    ("q_lin", "k_lin", "v_lin", "out_lin"),  # distilbert
)
# Relative paths of the input and output projections below an MLP, or below the layer that holds it.
MLP_PATTERNS: tuple[tuple[str, str], ...] = (
    ("fc1", "fc2"),
    ("intermediate.dense", "output.dense"),
    ("lin1", "lin2"),
)
# Names under which attention modules keep their number of heads, on the module itself or around its query.
HEAD_COUNT_ATTRIBUTES = ("num_attention_heads", "num_heads", "n_heads")


@dataclass(frozen=True)
class AttentionBlock:
    """The attention of one layer; paths are those of `model.named_modules()`.

    Attributes:
        name: path of the attention module.
        units: attention heads.
        unit_size: features of a head.
        query, key, value, output: paths of the four projections.
        head_counts: paths of the attributes that hold the number of heads.
    """

    name: str
    units: int
    unit_size: int
    query: str
    key: str
    value: str
    output: str
    head_counts: tuple[str, ...]


@dataclass(frozen=True)
class MlpBlock:
    """The MLP of one layer.

    Attributes:
        name: path of the module that holds it.
        units: neurons (intermediate features).
        input, output: paths of the two projections.
    """

    name: str
    units: int
    input: str
    output: str


@dataclass(frozen=True)
class Anatomy:
    """The blocks of a model, in the order of its modules.

    Attributes:
        model: class name of the model.
        attention: its attention blocks.
        mlp: its MLP blocks.
        config: of a Hugging Face model, its config.
    """

    model: str
    attention: tuple[AttentionBlock, ...]
    mlp: tuple[MlpBlock, ...]
    config: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, model: nn.Module) -> Anatomy:
        """Find the blocks of a model by the names and shapes of its modules.

        Raises:
            InputError: no block is found, or one is found whose shapes do not fit its head count.
        """
        modules = dict(model.named_modules())
        attention = tuple(found for name in modules if (found := _attention_block(modules, name)) is not None)
        mlp = tuple(block for name in modules if (block := _mlp_block(modules, name)) is not None)
        if not attention and not mlp:
            leaves = sorted({name.rsplit(".", 1)[-1] for name, m in modules.items() if isinstance(m, nn.Linear)})
            raise InputError(
                f"found neither attention nor MLP blocks in {type(model).__name__}; its linear modules are called"
                f" {', '.join(leaves[:12]) or 'nothing: there are none'}, and earlybird knows"
                f" {'; '.join(', '.join(p) for p in (*ATTENTION_PATTERNS, *MLP_PATTERNS))}"
            )
        return cls(type(model).__name__, attention, mlp, getattr(model, "config", None))

    @property
    def units(self) -> dict[Kind, tuple[int, ...]]:
        """Units of each block, per kind that the model has."""
        counts: dict[Kind, tuple[int, ...]] = {}
        if self.attention:
            counts["heads"] = tuple(block.units for block in self.attention)
        if self.mlp:
            counts["neurons"] = tuple(block.units for block in self.mlp)
        return counts

    @property
    def key_value_groups(self) -> tuple[int, ...] | None:
        """Key/value groups of each attention block, or None where no block shares keys and values."""
        return None

    @property
    def admitted_heads(self) -> tuple[int, ...] | None:
        """The numbers of heads that the model's config admits where they are the same in all blocks; None: any."""
        if not self.attention:
            return None
        return admitted_head_counts(self.config, self.attention[0].units, self.attention[0].unit_size)

    @property
    def names(self) -> dict[Kind, tuple[str, ...]]:
        """Path of each block, per kind that the model has."""
        names: dict[Kind, tuple[str, ...]] = {}
        if self.attention:
            names["heads"] = tuple(block.name for block in self.attention)
        if self.mlp:
            names["neurons"] = tuple(block.name for block in self.mlp)
        return names

    @property
    def fingerprint(self) -> str:
        """Short hash of all block names and unit counts: models with equal ones take each other's tickets."""
        content: Mapping[str, Any] = {"names": self.names, "units": self.units}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        rows = [f"{self.model}: {len(self.attention)} attention blocks, {len(self.mlp)} MLP blocks"]
        rows += [f"  {b.name}: {b.units} heads of {b.unit_size} features" for b in self.attention]
        rows += [f"  {b.name}: {b.units} neurons" for b in self.mlp]
        return "\n".join(rows)


def _attention_block(modules: Mapping[str, nn.Module], name: str) -> AttentionBlock | None:
    for pattern in ATTENTION_PATTERNS:
        paths = [_below(name, part) for part in pattern]
        found = [modules.get(path) for path in paths]
        if not all(isinstance(module, nn.Linear) for module in found):
            continue
        query, key, value, output = (module for module in found if isinstance(module, nn.Linear))
        counts = _head_counts(modules, name, paths[0])
        if not counts:
            raise InputError(
                f"{name} looks like attention, but neither it nor the parent of its query projection says how many"
                f" heads it has (looked for {', '.join(HEAD_COUNT_ATTRIBUTES)})"
            )
        heads = set(counts.values())
        if len(heads) != 1 or query.out_features % (units := heads.pop()):
            raise InputError(
                f"{name} has {query.out_features} query features, which its head counts {counts} do not divide"
            )
        if not query.out_features == key.out_features == value.out_features == output.in_features:
            raise InputError(
                f"{name} shares keys and values between heads (query {query.out_features}, key {key.out_features}"
                f" features), which this version of earlybird cannot prune"
            )
        return AttentionBlock(
            name, units, query.out_features // units, paths[0], paths[1], paths[2], paths[3], tuple(counts)
        )
    return None


def _mlp_block(modules: Mapping[str, nn.Module], name: str) -> MlpBlock | None:
    for pattern in MLP_PATTERNS:
        paths = [_below(name, part) for part in pattern]
        first, last = (modules.get(path) for path in paths)
        if isinstance(first, nn.Linear) and isinstance(last, nn.Linear) and first.out_features == last.in_features:
            return MlpBlock(name, first.out_features, paths[0], paths[1])
    return None


def _head_counts(modules: Mapping[str, nn.Module], name: str, query: str) -> dict[str, int]:
    """Attribute path -> value, of all the places where the block keeps its number of heads."""
    counts: dict[str, int] = {}
    for owner in dict.fromkeys((name, query.rpartition(".")[0])):
        for attribute in HEAD_COUNT_ATTRIBUTES:
            value = getattr(modules[owner], attribute, None)
            if isinstance(value, int) and value > 0:
                counts[_below(owner, attribute)] = value
    return counts


def _below(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part
