"""The rule that makes masks of one kind's scores, and the rules that a config asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from earlybird.config import PruningConfig
from earlybird.errors import InputError
from earlybird.masks.counts import pruned_count, pruned_per_block, rounded_count
from earlybird.masks.nothing_pruned import refuse_to_prune_nothing
from earlybird.masks.selection import split
from earlybird.masks.threshold import Split, cut_blocks, cut_together, keep_last_unit, rounded, valid_units
from earlybird.masks.unit_costs import UnitCosts
from earlybird.masks.unit_groups import unit_groups
from earlybird.vocabulary import KINDS, Kind, KvGroups, Measure, Scope

# torch's kernel for experts takes rows of whole 16 bytes: 8 numbers of 16 bits.
_EXPERT_MULTIPLE = 8


@dataclass(frozen=True)
class MaskRule:
    """How scores of one kind become masks; what the parts mean is said at `mask_at_ratio`.

    Attributes:
        ratio: the fraction of units to prune.
        scope: where its threshold is taken.
        units: of each block.
        uniform: whether every block keeps the same number.
        groups: of each block, where heads share keys and values; experts, where they share a tensor.
        kv_groups: what is pruned of those.
        round_to: of which every block keeps a multiple.
        valid_counts: the numbers that every block may keep, with `uniform`.
        whole_blocks: whether a threshold over all blocks may take the last unit of one.

    Raises:
        InputError: ratio outside [0, 1), an unknown scope or way with groups, `round_to` below 1, or a ratio above 0
            that prunes nothing because of groups or rounding.
    """

    ratio: float
    scope: Scope
    units: Sequence[int]
    uniform: bool = False
    groups: Sequence[int] | None = None
    kv_groups: KvGroups | None = None
    round_to: int = 1
    valid_counts: Sequence[int] | None = None
    whole_blocks: bool = False

    def __post_init__(self) -> None:
        pruned_count(self.ratio, 1)
        rounded_count(1, 1, self.round_to)
        if self.scope not in ("layer", "global"):
            raise InputError(f'scope must be "layer" or "global", got {self.scope!r}')
        if self.kv_groups not in (None, "whole", "within"):
            raise InputError(f'kv_groups must be "whole" or "within", got {self.kv_groups!r}')
        shared = unit_groups(self.units, self.groups, self.kv_groups) is not None
        if shared or self.round_to > 1 or self.valid_counts is not None:
            self.refuse_to_prune_nothing()

    def refuse_to_prune_nothing(self) -> None:
        """Refuse a ratio above 0 that may leave every block whole.

        A rule does so itself where groups or rounding are the cause. Where all units are alone in their blocks, nothing
        is left to prune, which is an error for whoever would train to find out.

        Raises:
            InputError: see `earlybird.masks.nothing_pruned`.
        """
        shared = unit_groups(self.units, self.groups, self.kv_groups)
        counts, valid_counts, what = tuple(self.units), self.valid_counts, "units"
        if shared is not None:
            counts, valid_counts = shared.slots, shared.valid_slots(valid_counts)
            what = "key/value groups" if counts == tuple(self.groups or ()) else "units of every group"
        alone = max(counts, default=0) == 1 < max(self.units)
        if self.ratio and alone and not (self.whole_blocks and not self.by_block):
            raise InputError(
                f"ratio {self.ratio} prunes nothing: all heads of a block share one group of keys and values, and a"
                ' block keeps at least one; prune heads within it, kv_groups="within"'
            )
        refuse_to_prune_nothing(
            self.ratio,
            counts,
            uniform=self.uniform,
            by_block=self.by_block,
            round_to=self.round_to,
            valid_counts=valid_counts,
            whole_blocks=self.whole_blocks,
            what=what,
        )

    @property
    def grouped(self) -> bool:
        """Whether units are ranked by the mean of their group."""
        return self.groups is not None

    @property
    def by_block(self) -> bool:
        """Whether each block has a threshold of its own."""
        return self.scope == "layer" or self.uniform

    def valid(self, width: int) -> NDArray[np.bool_]:
        """Where rows of `width` hold a unit and no padding, (layers, width)."""
        return valid_units(self.units, width)

    def masks(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """Masks of scores (..., layers, units).

        Raises:
            InputError: a score is not finite, or the scores do not have the blocks' shape.
        """
        masks, _ = self.masks_and_ties(checked_scores(scores, self.units))
        return masks

    def masks_and_ties(
        self, scores: NDArray[np.floating], global_split: Split = split
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Masks of finite scores (..., layers, units), and where a mask is an accident of position, (...).

        That is where the units on both sides of the threshold share one score, and those equal are more than 5% of the
        scope's units and more than two, in any block where each has a threshold of its own. Over all blocks the
        threshold is that before rounding.
        """
        shared = unit_groups(self.units, self.groups, self.kv_groups)
        if shared is not None:
            slots = MaskRule(
                self.ratio,
                self.scope,
                shared.slots,
                self.uniform,
                round_to=self.round_to,
                valid_counts=shared.valid_slots(self.valid_counts),
                whole_blocks=self.whole_blocks,
            )
            masks, tied = slots.masks_and_ties(shared.gathered(scores), global_split)
            return shared.spread(masks, scores), tied
        if self.by_block:
            pruned = pruned_per_block(self.units, self.ratio, self.uniform, self.round_to, self.valid_counts)
            return cut_blocks(scores, self.units, pruned)
        kept, tied = cut_together(scores, self.units, pruned_count(self.ratio, sum(self.units)), global_split)
        if not self.whole_blocks:
            keep_last_unit(kept, scores, self.units)
        whole = self.round_to == 1 or self.ratio == 0
        return kept if whole else rounded(kept, scores, self.units, self.round_to), tied

    def random_masks(self, generator: np.random.Generator) -> NDArray[np.bool_]:
        """Masks of units chosen by chance, (layers, units)."""
        return self.masks(generator.random((len(self.units), max(self.units))))

    def kept_by_minimum(self, scores: NDArray[np.floating]) -> tuple[int, ...]:
        """Blocks of (layers, units) that keep a unit only because none may lose its last one."""
        if self.whole_blocks:
            return ()
        shared = unit_groups(self.units, self.groups, self.kv_groups)
        if shared is not None:
            return MaskRule(self.ratio, self.scope, shared.slots, self.uniform).kept_by_minimum(shared.gathered(scores))
        if self.by_block:
            blocks = np.array([0 < n <= pruned_count(self.ratio, n) for n in self.units])
        else:
            kept, _ = cut_together(scores, self.units, pruned_count(self.ratio, sum(self.units)), split)
            blocks = ~kept.any(-1) & (np.asarray(self.units) > 0)
        return tuple(np.flatnonzero(blocks).tolist())


class Rule(Protocol):
    """What detectors know of how scores become masks: a `MaskRule` of one kind, or a `BudgetRule` of all."""

    @property
    def units(self) -> Sequence[int]: ...  # noqa: D102
    @property
    def by_block(self) -> bool: ...  # noqa: D102
    @property
    def grouped(self) -> bool: ...  # noqa: D102
    def valid(self, width: int) -> NDArray[np.bool_]: ...  # noqa: D102
    def masks(self, scores: ArrayLike) -> NDArray[np.bool_]: ...  # noqa: D102
    def masks_and_ties(  # noqa: D102
        self, scores: NDArray[np.floating], global_split: Split = split
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]: ...
    def random_masks(self, generator: np.random.Generator) -> NDArray[np.bool_]: ...  # noqa: D102


class Prunable(Protocol):
    """What tells how many units there are and which of them go together: an anatomy, or a record's shape."""

    @property
    def units(self) -> Mapping[Kind, tuple[int, ...]]: ...  # noqa: D102
    @property
    def key_value_groups(self) -> tuple[int, ...] | None: ...  # noqa: D102
    @property
    def expert_groups(self) -> tuple[int, ...] | None: ...  # noqa: D102
    @property
    def routing_groups(self) -> tuple[int, ...] | None: ...  # noqa: D102
    @property
    def least_experts(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def valid_head_counts(self) -> tuple[int, ...] | None: ...  # noqa: D102
    def unit_costs(self, measure: Measure, tokens: int) -> UnitCosts: ...  # noqa: D102


def mask_rules(config: PruningConfig, source: Prunable) -> dict[Kind, MaskRule]:
    """The rule of each kind whose ratio is above 0.

    Args:
        config: the ratios, one for each kind, and what holds of the masks; `round_to` concerns the neurons.
        source: of the units.

    Raises:
        InputError: nothing is to be pruned, a ratio is for a kind that is not there or may prune nothing of it, or
            ratios are by name.
    """
    rules: dict[Kind, MaskRule] = {}
    for kind in KINDS:
        ratio = getattr(config, kind)
        if not ratio:
            continue
        if isinstance(ratio, Mapping):
            raise InputError(f"ratios by name are for Ticket.random, got {dict(ratio)} for {kind}: give one ratio")
        units = source.units.get(kind)
        if not units:
            raise InputError(
                f"a ratio for {kind} was given ({ratio}), but there are no {kind} to prune: give one for another kind"
                " alone"
            )
        rules[kind] = rule_of(kind, ratio, config, source)
        try:
            rules[kind].refuse_to_prune_nothing()
        except InputError as error:
            raise InputError(f"{kind}: {error}") from error
    if not rules:
        raise InputError("give a ratio above 0 for heads, neurons or experts: there is nothing to prune")
    return rules


def rule_of(kind: Kind, ratio: float, config: PruningConfig, source: Prunable) -> MaskRule:
    """The rule of one kind at a ratio, whatever the config's is.

    Raises:
        InputError: the ratio is above 0 and prunes nothing.
    """
    units, scope = tuple(source.units[kind]), config.scope(kind)
    try:
        if kind == "experts":
            if config.whole_blocks:
                raise InputError("whole_blocks=True is not for experts, of which a router picks some: leave it out")
            rule = MaskRule(ratio, scope, units, config.uniform, source.routing_groups, "within")
            refuse_fewer_than_picked(rule.masks(np.zeros((len(units), max(units)))), source, ratio)
            return rule
        if kind == "neurons":
            if config.whole_blocks and source.expert_groups is not None:
                raise InputError(
                    "whole_blocks=True is not for the experts of a mixture, each of which keeps a neuron: leave it out,"
                    " or exclude them by name"
                )
            return MaskRule(
                ratio,
                scope,
                units,
                config.uniform,
                source.expert_groups,
                "within",
                config.round_to if source.expert_groups is None else math.lcm(config.round_to, _EXPERT_MULTIPLE),
                whole_blocks=config.whole_blocks,
            )
        valid_counts = source.valid_head_counts if config.uniform else None
        return MaskRule(
            ratio,
            scope,
            units,
            config.uniform,
            source.key_value_groups,
            config.kv_groups,
            valid_counts=valid_counts,
            whole_blocks=config.whole_blocks,
        )
    except InputError as error:
        raise InputError(f"{kind}: {error}") from error


def refuse_fewer_than_picked(masks: NDArray[np.bool_], source: Prunable, ratio: Any) -> None:
    """Refuse masks that leave a router fewer experts than it works with.

    Args:
        masks: of the experts, (layers, experts).
        source: of the experts; a record does not know how many a router picks.
        ratio: that they were made by.

    Raises:
        InputError: the message names how many would be left.
    """
    for units, left, fewest in zip(source.units["experts"], masks.sum(-1), source.least_experts, strict=False):
        if left < fewest:
            raise InputError(
                f"ratio {ratio} leaves {left} of {units} experts, and the router picks among at least {fewest} for"
                " every token: give a smaller ratio"
            )


def checked_scores(scores: ArrayLike, units: Sequence[int] | None) -> NDArray[np.floating]:
    """The scores as a float array (..., layers, units), finite where there is a unit."""
    values = np.asarray(scores)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    if values.ndim < 2:
        raise InputError(f"scores must be (..., layers, units), got shape {values.shape}")
    layers, width = values.shape[-2:]
    counts = np.full(layers, width) if units is None else np.asarray(units)
    if counts.shape != (layers,) or (counts > width).any() or (counts < 0).any():
        raise InputError(f"units must give each of the {layers} blocks a count up to {width}, got {counts.tolist()}")
    finite = np.isfinite(values) | ~valid_units(counts, width)
    if not finite.all():
        first = tuple(np.argwhere(~finite)[0])
        *leading, layer, unit = first
        step = f" at step {leading[0]}" if leading else ""
        raise InputError(f"scores must be finite, got {values[first]}{step} in layer {layer}, unit {unit}")
    return values
