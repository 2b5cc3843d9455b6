"""The shape of a pruned model: what its config must say so that a model of that shape can be built again.

Where the family's config has fields for it, they say it, and any tool loads the model. Otherwise the config keeps
the dense shape, and a `quantization_config` with a `quant_method` of ours lists the units kept in each block:
transformers' documented way in for a foreign checkpoint layout (see `earlybird.checkpoint.quantizer`); nothing is
quantized.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from torch import nn

from earlybird.anatomy import Anatomy
from earlybird.anatomy.config_fields import CannotSayError
from earlybird.errors import InputError
from earlybird.surgery.plain_config import say_plainly
from earlybird.ticket import Ticket
from earlybird.vocabulary import KINDS, Kind

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

QUANT_METHOD = "earlybird"
FORMAT_VERSION = 1


def record_shape(model: nn.Module, anatomy: Anatomy) -> str:
    """Make the config of a Hugging Face model say the shape that its modules have; other models are left alone.

    Args:
        model: as it is now.
        anatomy: its own.

    Returns:
        Why the config's own fields cannot say it, or "" where they do.
    """
    # Imported late: transformers imports the quantizer, and so this module, while it is imported itself.
    from transformers import PreTrainedModel

    from earlybird.models import off_by_one

    if not isinstance(model, PreTrainedModel):
        return ""
    softmax = "off_by_one" if off_by_one.is_used(model) else "standard"
    try:
        if softmax != "standard":
            raise CannotSayError("no config says that the softmax is off by one")
        say_plainly(model, anatomy)
    except CannotSayError as reason:
        shape = PrunedShape.of(anatomy)
        model.config.quantization_config = {
            "quant_method": QUANT_METHOD,
            "version": FORMAT_VERSION,
            "kept": {kind: list(units) for kind, units in shape.kept.items()},
            **({"key_value_groups": list(shape.key_value_groups)} if shape.key_value_groups else {}),
            "blocks": {kind: list(names) for kind, names in shape.blocks.items()},
            **({"returned": dict(shape.returned)} if shape.returned else {}),
            "softmax": softmax,
        }
        return str(reason)
    remove_mark(model.config)
    return ""


@dataclass(frozen=True)
class PrunedShape:
    """What is left in each block.

    Attributes:
        kept: per kind, the units of each block; 0 of one that is gone.
        blocks: per kind, their names.
        key_value_groups: of each attention block, where heads share keys and values.
        returned: what the attention blocks return that are gone, by name; see `WithoutHeads`.
    """

    kept: Mapping[Kind, Sequence[int]]
    blocks: Mapping[Kind, Sequence[str]]
    key_value_groups: Sequence[int] | None
    returned: Mapping[str, int]

    @classmethod
    def of(cls, anatomy: Anatomy) -> PrunedShape:
        """The shape of a pruned model."""
        gone = {kind: tuple(block for block in anatomy.gone if block.kind == kind) for kind in KINDS}
        kinds = [kind for kind in KINDS if anatomy.units.get(kind) or gone[kind]]
        groups = anatomy.key_value_groups
        return cls(
            kept={kind: (*anatomy.units.get(kind, ()), *(0 for _ in gone[kind])) for kind in kinds},
            blocks={kind: (*anatomy.names.get(kind, ()), *(block.name for block in gone[kind])) for kind in kinds},
            key_value_groups=None if groups is None else (*groups, *(0 for _ in gone["heads"])),
            returned={block.name: block.returned for block in gone["heads"]},
        )


def remove_mark(config: PreTrainedConfig) -> None:
    """Let a config say no more that its model is pruned in a way that its own fields cannot say."""
    if is_ours(getattr(config, "quantization_config", None)):
        del config.quantization_config


def is_ours(quantization_config: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a config's `quantization_config` describes a pruned shape."""
    return isinstance(quantization_config, dict) and quantization_config.get("quant_method") == QUANT_METHOD


def ticket_of_shape(
    anatomy: Anatomy,
    kept: Mapping[Kind, Sequence[int]],
    key_value_groups: Sequence[int] | None = None,
    blocks: Mapping[Kind, Sequence[str]] | None = None,
) -> Ticket:
    """A ticket that leaves the first units of every block: it gives a dense model the shape of a pruned one.

    Args:
        anatomy: of the dense model, or of a part of it (the encoder alone, the base without its head).
        kept: units kept in each block, none of one that is gone.
        key_value_groups: groups kept in each attention block; by default no heads share keys and values.
        blocks: names of the blocks that the counts are of; by default the model's own, in order.

    Raises:
        InputError: the counts do not fit the model.
    """
    masks: dict[Kind, NDArray[np.bool_]] = {}
    # The experts that stay say whose neurons do.
    for kind in ("heads", "experts", "neurons"):
        if kind not in kept:
            continue
        units, counts = anatomy.units.get(kind, ()), list(kept[kind])
        rows = _rows(anatomy.names.get(kind, ()), (blocks or {}).get(kind), len(counts))
        shared = list(key_value_groups or counts) if kind == "heads" and anatomy.key_value_groups else None
        if rows is None or (shared is not None and len(shared) != len(counts)):
            raise InputError(
                f"the config says how many {kind} were kept in {len(counts)} blocks, which are not the {len(units)}"
                f" blocks of {anatomy.model}"
            )
        masks[kind] = np.zeros((len(units), max(units)), dtype=np.bool_)
        for block, row in enumerate(rows):
            if row is None:  # the version that pruned it did not know this block
                masks[kind][block, : units[block]] = True
                continue
            if type(counts[row]) is int and counts[row] == 0:
                continue
            grouped = "" if shared is None else f" in {shared[row]} key/value groups"
            stays = _groups_that_stay(anatomy, kind, block, counts[row] if shared is None else shared[row], masks)
            mask = _first_of_every_group(stays, units[block], counts[row])
            if mask is None:
                raise InputError(
                    f"the config says that {anatomy.names[kind][block]} kept {counts[row]} {kind}{grouped}, but the"
                    f" model has {units[block]}"
                )
            masks[kind][block, : units[block]] = mask
    return Ticket.of(anatomy, masks, how="given")


def _groups_that_stay(
    anatomy: Anatomy, kind: Kind, block: int, first: Any, masks: Mapping[Kind, NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """Which groups of a block's units keep some, (groups,): the first, or all of those that must keep equally many.

    Args:
        anatomy: of the dense model.
        kind: of the units; a unit that shares nothing is a group of its own.
        block: which of them.
        first: groups that stay where they can go.
        masks: of the kinds before, of which those of experts say whose neurons stay.
    """
    units = anatomy.units[kind][block]
    if kind == "neurons" and anatomy.mlp[block].experts:
        name, mixtures = anatomy.mlp[block].name, anatomy.names.get("experts", ())
        stays = np.ones(anatomy.mlp[block].experts, dtype=np.bool_)
        if "experts" in masks and name in mixtures:
            stays &= masks["experts"][mixtures.index(name)][: len(stays)]
        return stays
    if kind == "experts" and anatomy.mixtures[block].routing_groups < units:
        return np.ones(anatomy.mixtures[block].routing_groups, dtype=np.bool_)
    groups = anatomy.attention[block].groups if kind == "heads" else units
    return np.arange(groups) < (first if type(first) is int and first <= groups else 0)


def _first_of_every_group(stays: NDArray[np.bool_], units: int, count: Any) -> NDArray[np.bool_] | None:
    """A mask (units,) of the first of every group that stays, equally many and `count` in all; None: that cannot be."""
    share, size = int(stays.sum()), units // len(stays)
    if type(count) is not int or not 0 < count <= share * size or count % share:
        return None
    return np.repeat(stays, size) & (np.arange(units) % size < count // share)


def _rows(names: Sequence[str], said: Sequence[str] | None, count: int) -> Sequence[int | None] | None:
    """For each block the index of what the config says of it: by name, where a prefix may differ, else in order.

    Where all that it names are there, it says nothing of the others.
    """
    if said is not None and len(said) == count:
        found = [next((i for i, other in enumerate(said) if _same_block(name, other)), None) for name in names]
        if names and (None not in found or set(found) == {*range(count), None}):
            return found
    return list(range(count)) if len(names) == count else None


def _same_block(name: str, other: str) -> bool:
    return name == other or name.endswith(f".{other}") or other.endswith(f".{name}")
