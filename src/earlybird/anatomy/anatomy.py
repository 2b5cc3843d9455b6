"""The blocks of a model, and what was found but cannot be pruned."""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from earlybird.anatomy.attention import attention_at
from earlybird.anatomy.bias_tables import with_bias_tables
from earlybird.anatomy.blocks import AttentionBlock, Block, GoneBlock, LeftOut, Mixture, MlpBlock
from earlybird.anatomy.example import known_example
from earlybird.anatomy.experts import experts_at
from earlybird.anatomy.head_counts import valid_head_counts
from earlybird.anatomy.hugging_face import outermost_models
from earlybird.anatomy.mixtures import mixture_of
from earlybird.anatomy.mlp import mlp_at
from earlybird.anatomy.paths import is_in
from earlybird.anatomy.patterns import ATTENTION_PATTERNS, MLP_PATTERNS, POSITION_MLPS, AttentionPattern, MlpPattern
from earlybird.anatomy.unit_costs import flops_of_units, parameters_of_units
from earlybird.anatomy.unknown import nothing_found, unknown_blocks
from earlybird.anatomy.wrappers import unwrapped
from earlybird.errors import InputError
from earlybird.masks.unit_costs import UnitCosts
from earlybird.vocabulary import KINDS, WEIGHED_KINDS, Kind, Measure

# Why a block is left out that the user has named.
_EXCLUDED = "excluded by name"


@dataclass(frozen=True)
class Anatomy:
    """The blocks of a model, in the order of its modules.

    Attributes:
        model: class name of the model.
        attention: its attention blocks.
        mlp: its MLP blocks.
        left_out: blocks that cannot be pruned, with the reasons.
        gone: blocks that have lost their last unit.
        configs: of the Hugging Face models in it that no other one holds: path -> config.
        source: the model without its wrappers, as long as it lives.
        patterns: of families that earlybird does not know, by which it was found.
        mixtures: the experts of `mlp` whose router is known, as units.
    """

    model: str
    attention: tuple[AttentionBlock, ...]
    mlp: tuple[MlpBlock, ...]
    left_out: tuple[LeftOut, ...] = ()
    gone: tuple[GoneBlock, ...] = ()
    configs: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    source: weakref.ref[nn.Module] | None = field(default=None, repr=False, compare=False)
    patterns: tuple[AttentionPattern | MlpPattern, ...] = field(default=(), repr=False, compare=False)
    mixtures: tuple[Mixture, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Without the model, which a copy in another process does not have."""
        return {**vars(self), "source": None}

    @classmethod
    def of(
        cls,
        model: nn.Module,
        *,
        patterns: Sequence[AttentionPattern | MlpPattern] = (),
        exclude: Sequence[str] = (),
        strict: bool = False,
    ) -> Anatomy:
        """Find the blocks of a model by the names and shapes of its modules.

        Args:
            model: any model, also on the meta device, compiled, or with PEFT's LoRA; the names of its blocks are those
                that they have without.
            patterns: of families that earlybird does not know; they are tried before its own.
            exclude: names of blocks to leave alone, with wildcards: `"decoder.*"`, `"*.layers.0.*"`.
            strict: whether a block that is left out for any other reason is an error.

        Raises:
            InputError: no block is found; a module inside it is a compiled one; with `strict`, one that cannot be
                pruned; an excluded name that fits none.
        """
        model = unwrapped(model)
        modules = dict(model.named_modules())
        attention, gone, left = _attention(modules, patterns)
        mlp, gone_mlp, unfit = _mlp(modules, patterns, attention, gone)
        gone += gone_mlp
        left += unfit
        left += unknown_blocks(modules, attention, mlp, gone, left)
        if strict and left:
            raise InputError(
                f"{type(model).__name__} has blocks that cannot be pruned: {'; '.join(map(str, left[:4]))}; describe"
                " them by patterns=[...], or leave out strict"
            )
        configs = {path: part.config for path, part in outermost_models(model).items()}
        found = cls(
            type(model).__name__,
            tuple(attention),
            tuple(mlp),
            tuple(left),
            tuple(gone),
            configs,
            weakref.ref(model),
            tuple(patterns),
            tuple(mixture for block in mlp if (mixture := mixture_of(modules, block)) is not None),
        )
        found = found.excluding(exclude)
        if not found.attention and not found.mlp and not found.gone:
            raise InputError(nothing_found(model, modules, found.left_out))
        return found

    def excluding(self, names: Sequence[str]) -> Anatomy:
        """The same without the blocks of these names, with wildcards: `"decoder.*"`, `"*.layers.0.*"`.

        Raises:
            InputError: a name fits no block, neither of these nor of those excluded before.
        """
        known = list(dict.fromkeys(block.name for block in self.blocks))
        before = [left.name for left in self.left_out if left.reason == _EXCLUDED]
        for wanted in names:
            if not any(fnmatchcase(name, wanted) for name in (*known, *before)):
                raise InputError(f"exclude={wanted!r} fits no block of {self.model}; they are {', '.join(known)}")
        excluded = [name for name in known if any(fnmatchcase(name, wanted) for wanted in names)]
        return replace(
            self,
            attention=tuple(block for block in self.attention if block.name not in excluded),
            mlp=tuple(block for block in self.mlp if block.name not in excluded),
            mixtures=tuple(block for block in self.mixtures if block.name not in excluded),
            left_out=(*self.left_out, *(LeftOut(name, _EXCLUDED) for name in excluded)),
        )

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks, attention first; the experts of a mixture are one by their neurons."""
        return (*self.attention, *self.mlp)

    def of_kind(self, kind: Kind) -> Sequence[Block | Mixture]:
        """The blocks that hold the units of a kind."""
        every: dict[Kind, Sequence[Block | Mixture]] = {
            "heads": self.attention,
            "neurons": self.mlp,
            "experts": self.mixtures,
        }
        return every[kind]

    def unit_costs(self, measure: Measure, tokens: int) -> UnitCosts:
        """What each unit costs, of all blocks.

        Args:
            measure: FLOPs of one example, or parameters.
            tokens: of the example, at most as many as the model takes; images and sound have the config's size.

        Raises:
            InputError: the model is gone or was changed since, or the FLOPs cannot be counted.
        """
        model = None if self.source is None else self.source()
        if model is None:
            raise InputError(
                f"what a unit of {self.model} costs is counted on the model, which is gone: keep it, or make its"
                " anatomy anew by Anatomy.of(model)"
            )
        sizes = {name: parameter.shape for name, parameter in model.named_parameters()}
        parts = [part for block in self.blocks for part in block.parts if part.parameter in sizes]
        if any(sizes[part.parameter][part.dim] != part.unit_of.shape[-1] for part in parts):
            raise InputError(f"{self.model} was changed since its anatomy was made: make it anew by Anatomy.of(model)")
        every: dict[Kind, Sequence[Block]] = {"heads": self.attention, "neurons": self.mlp}
        blocks = {kind: every[kind] for kind in WEIGHED_KINDS if every[kind]}
        if measure == "parameters":
            return parameters_of_units(model, blocks, tokens)
        if measure == "milliseconds":
            raise InputError(
                "milliseconds are measured, not counted: give"
                " costs=earlybird.latency.unit_costs(model, anatomy, config)"
            )
        return flops_of_units(model, blocks, known_example(model, tokens), tokens)

    @property
    def units(self) -> dict[Kind, tuple[int, ...]]:
        """Units of each block, per kind that the model has."""
        return {kind: tuple(b.units for b in self.of_kind(kind)) for kind in KINDS if self.of_kind(kind)}

    def lack_of(self, kind: Kind) -> str:
        """What to say where units of a kind are wanted that the model does not have."""
        if kind == "experts" and any(block.experts for block in self.mlp):
            return f"{self.model} has experts, but no router beside them that is known (gate or router, with its top_k)"
        left = f" (left out: {'; '.join(map(str, self.left_out[:4]))})" if self.left_out else ""
        return f"{self.model} has no {kind} to search{left}"

    @property
    def key_value_groups(self) -> tuple[int, ...] | None:
        """Key/value groups of each attention block, or None where no block shares keys and values."""
        groups = tuple(block.groups for block in self.attention)
        return groups if any(block.groups != block.units for block in self.attention) else None

    @property
    def expert_groups(self) -> tuple[int, ...] | None:
        """Experts of each MLP block, each of which keeps equally many neurons; None where no block holds any.

        A block that is no mixture has as many groups as neurons.
        """
        return tuple(block.groups for block in self.mlp) if any(block.experts for block in self.mlp) else None

    @property
    def routing_groups(self) -> tuple[int, ...] | None:
        """Groups of experts that each router compares, each of which keeps equally many; None where none does."""
        compared = any(block.routing_groups != block.units for block in self.mixtures)
        return tuple(block.routing_groups for block in self.mixtures) if compared else None

    @property
    def least_experts(self) -> tuple[int, ...]:
        """The fewest experts that each router works with."""
        return tuple(block.least for block in self.mixtures)

    @property
    def valid_head_counts(self) -> tuple[int, ...] | None:
        """The numbers of heads that the models' configs can say where they are the same in all blocks; None: any."""
        accepted: set[int] | None = None
        for path, config in self.configs.items():
            first = next((block for block in self.attention if is_in(block.name, path)), None)
            counts = None if first is None else valid_head_counts(config, first.units, first.unit_size)
            if counts is not None:
                accepted = set(counts) if accepted is None else accepted & set(counts)
        return tuple(sorted(accepted)) if accepted else None

    @property
    def names(self) -> dict[Kind, tuple[str, ...]]:
        """Path of each block, per kind that the model has."""
        return {kind: tuple(b.name for b in self.of_kind(kind)) for kind in KINDS if self.of_kind(kind)}

    @property
    def fingerprint(self) -> str:
        """Short hash of all block names and unit counts: models with equal ones take each other's tickets."""
        # Experts are counted by their neurons; so a record from before they were units fits still.
        content: Mapping[str, Any] = {
            "names": {kind: self.names[kind] for kind in WEIGHED_KINDS if kind in self.names},
            "units": {kind: self.units[kind] for kind in WEIGHED_KINDS if kind in self.units},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        rows = [f"{self.model}: {len(self.attention)} attention blocks, {len(self.mlp)} MLP blocks"]
        for block in self.attention:
            shared = f" in {block.groups} key/value groups" if block.groups != block.units else ""
            rows.append(f"  {block.name}: {block.units} heads of {block.unit_size} features{shared}")
        for mlp in self.mlp:
            shared = f" in {mlp.experts} experts" if mlp.experts else ""
            picked = next((f", {each.picked} for every token" for each in self.mixtures if each.name == mlp.name), "")
            rows.append(f"  {mlp.name}: {mlp.units} neurons{shared}{picked}")
        rows += [f"  {block.name}: no {block.kind} left" for block in self.gone]
        if self.left_out:
            rows.append("left out:")
            rows += [f"  {left}" for left in self.left_out]
        return "\n".join(rows)


def _attention(
    modules: Mapping[str, nn.Module], own: Sequence[AttentionPattern | MlpPattern]
) -> tuple[list[AttentionBlock], list[GoneBlock], list[LeftOut]]:
    patterns = (*(p for p in own if isinstance(p, AttentionPattern)), *ATTENTION_PATTERNS)
    blocks: list[AttentionBlock] = []
    gone: list[GoneBlock] = []
    left: list[LeftOut] = []
    claimed: set[str] = set()
    for name in modules:
        found = attention_at(modules, name, patterns)
        if isinstance(found, LeftOut):
            left.append(found)
        elif isinstance(found, GoneBlock):
            if claimed.isdisjoint(found.projections):
                claimed |= {*found.projections}
                gone.append(found)
        elif found is not None and claimed.isdisjoint({found.query, found.output}):
            claimed |= {found.query, found.key, found.value, found.output}
            blocks.append(found)
    return with_bias_tables(modules, blocks), gone, left


def _mlp(
    modules: Mapping[str, nn.Module],
    own: Sequence[AttentionPattern | MlpPattern],
    attention: Sequence[AttentionBlock],
    gone_attention: Sequence[GoneBlock],
) -> tuple[list[MlpBlock], list[GoneBlock], list[LeftOut]]:
    patterns = (*(p for p in own if isinstance(p, MlpPattern)), *MLP_PATTERNS)
    claimed = {path for block in attention for path in (block.query, block.key, block.value, block.output)}
    claimed |= {path for block in gone_attention for path in block.projections}
    blocks: list[MlpBlock] = []
    gone: list[GoneBlock] = []
    left: list[LeftOut] = []
    for name in modules:
        found = None if name.endswith(POSITION_MLPS) else mlp_at(modules, name, patterns) or experts_at(modules, name)
        if isinstance(found, LeftOut):
            left.append(found)
        elif isinstance(found, GoneBlock):
            if claimed.isdisjoint(found.projections):
                claimed |= {*found.projections}
                gone.append(found)
        elif found is not None and claimed.isdisjoint({*found.inputs, found.output}):
            claimed |= {*found.inputs, found.output}
            blocks.append(found)
    return blocks, gone, left
