"""The ticket: the masks, and where they came from."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from earlybird.atomic_write import write_whole
from earlybird.config import PruningConfig, plain_values
from earlybird.errors import InputError, nearest
from earlybird.hub import fetched, is_owner_and_name
from earlybird.masks.budget import budget_rule
from earlybird.masks.by_name import mask_by_name
from earlybird.masks.rule import refuse_fewer_than_picked, rule_of
from earlybird.masks.unit_costs import UnitCosts
from earlybird.vocabulary import KINDS, Kind

if TYPE_CHECKING:
    from earlybird.anatomy import Anatomy
    from earlybird.detectors.draw import Draw

_log = logging.getLogger(__name__)

FORMAT_VERSION = 1
FILE_NAME = "ticket.json"  # beside a model, here and on the hub
_LARGEST_FILE = 1 << 28  # bytes
# A mask is a table as wide as the widest block: of a few units in many blocks and many in one it would be all padding.
_LARGEST_TABLE = 1 << 24
_WIDEST = 16  # times the mean width; DeepSeek V3, experts and dense layers together, has 9


@dataclass(frozen=True)
class Ticket:
    """Which units of which block stay.

    Attributes:
        masks: per kind, (layers, widest block) bool, True = kept; padding is False, and so are the neurons of an expert
            that goes.
        units: per kind, the units of each block before pruning.
        blocks: per kind, the blocks' paths in the model.
        provenance: where the masks came from: `how` (as of a `Draw`, "random" or "given"), model, versions, and, of
            a draw, what `Draw.description` says of it.
    """

    masks: Mapping[Kind, NDArray[np.bool_]]
    units: Mapping[Kind, tuple[int, ...]]
    blocks: Mapping[Kind, tuple[str, ...]]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.masks:
            raise InputError(f"a ticket needs masks of {', '.join(KINDS[:-1])} or {KINDS[-1]}; got no masks")
        if (other := next((kind for kind in self.masks if kind not in KINDS), None)) is not None:
            raise InputError(f"no kind of unit is called {other!r}; {nearest(str(other), KINDS)}")
        for name in ("units", "blocks"):
            if (given := set(getattr(self, name))) != set(self.masks):
                raise InputError(f"the ticket's {name} are of {_listed(given)}, its masks of {_listed(self.masks)}")
        masks = {kind: _as_mask(kind, mask, self.units[kind]) for kind, mask in self.masks.items()}
        for kind, mask in masks.items():
            counts, names = self.units[kind], self.blocks[kind]
            expected = (len(counts), max(counts, default=0))
            if mask.shape != expected or len(counts) != len(names):
                raise InputError(
                    f"masks of {kind} must be {expected}, blocks x units of the widest, got shape {mask.shape} and"
                    f" {len(names)} names of blocks"
                )
            for name, count, row in zip(names, counts, mask, strict=True):
                if row[count:].any():
                    raise InputError(f"the ticket keeps {kind} of {name!r} that are not there: it has {count}")
        _without_neurons_of_gone_experts(masks, self.units, self.blocks)
        for mask in masks.values():
            mask.flags.writeable = False
        object.__setattr__(self, "masks", masks)

    @classmethod
    def of(cls, anatomy: Anatomy, masks: Mapping[Kind, NDArray[np.bool_]], **provenance: Any) -> Ticket:
        """A ticket for a model from masks per kind; what is said of their origin is recorded with versions.

        Args:
            anatomy: of the model it is for.
            masks: per kind (blocks, units of the widest block), True = kept, also as 1 and 0; False where a block has
                no unit.
            provenance: where the masks came from.

        Raises:
            InputError: the masks do not fit the anatomy: another kind or shape, units that are not there, values that
                are neither true nor false.
        """
        _check_anatomy(anatomy)
        if not isinstance(masks, Mapping):
            raise InputError(
                f'masks must be given by kind, {{"heads": mask, "neurons": mask}}, got {type(masks).__name__}'
            )
        for kind in masks:
            if kind in KINDS and kind not in anatomy.units:
                raise InputError(f"masks of {kind} were given, but {anatomy.model} has no {kind} to prune")
        return cls(
            masks=masks,
            units={kind: anatomy.units.get(kind, ()) for kind in masks},
            blocks={kind: anatomy.names.get(kind, ()) for kind in masks},
            provenance={
                **provenance,
                "model": anatomy.model,
                "left_out": {left.name: left.reason for left in anatomy.left_out},
                "versions": {name: version(name) for name in ("earlybird", "torch", "transformers")},
            },
        )

    @classmethod
    def drawn(cls, anatomy: Anatomy, draw: Draw) -> Ticket:
        """The ticket of a draw on a model of this anatomy."""
        described = draw.description()
        step, fraction = described.pop("step"), described.pop("fraction")
        return cls.of(anatomy, draw.masks, draw_step=step, draw_fraction=fraction, **described)

    @classmethod
    def random(
        cls, anatomy: Anatomy, config: PruningConfig, *, seed: int = 0, costs: UnitCosts | None = None
    ) -> Ticket:
        """A ticket whose units are chosen by chance.

        Args:
            anatomy: of the model it is for.
            config: how much is pruned, and what holds of the masks. With a budget, units of both kinds go in a random
                order until it is met. With `uniform` heads keep the nearest number that
                the model's config can say (Llama and Gemma 2 and 3 want a divisor of the hidden size), of which a
                warning tells. `round_to` leaves the heads: one brings as many features as it has.
            seed: of the choice.
            costs: of the units, for a budget of milliseconds: `earlybird.latency.unit_costs(model, anatomy, config)`.

        Raises:
            InputError: a ratio for a kind that the model does not have, or for a name that fits no block; an excluded
                name that fits none; a budget that is less than possible, or counts what cannot be counted.
        """
        _check_anatomy(anatomy)
        if not isinstance(config, PruningConfig):
            raise InputError(
                f"config must be a PruningConfig, got {reprlib.repr(config)}; write PruningConfig(heads=0.3,"
                " neurons=0.4)"
            )
        if not config.says_amount:
            raise InputError("give a ratio for heads, neurons or experts, or a budget: there is nothing to prune")
        generator = np.random.default_rng(seed)
        anatomy = anatomy.excluding(config.exclude)
        rule = budget_rule(config, anatomy, costs)
        if rule is not None:
            chosen = rule.by_kind(rule.random_masks(generator))
            return cls.of(anatomy, chosen, how="random", seed=seed, config=plain_values(config))
        masks: dict[Kind, NDArray[np.bool_]] = {}
        for kind in KINDS:
            ratio = getattr(config, kind)
            if ratio is None:
                continue
            units = anatomy.units.get(kind)
            if not units:
                raise InputError(f"a ratio for {kind} was given ({ratio}), but {anatomy.model} has no {kind} to prune")
            scores = generator.random((len(units), max(units)))
            if isinstance(ratio, Mapping):
                masks[kind] = mask_by_name(scores, ratio, anatomy.names[kind], rule_of(kind, 0.0, config, anatomy))
            else:
                masks[kind] = rule_of(kind, ratio, config, anatomy).masks(scores)
            if kind == "experts":
                refuse_fewer_than_picked(masks[kind], anatomy, ratio)
            given = ratio.values() if isinstance(ratio, Mapping) else (ratio,)
            if any(given) and masks[kind].sum() == sum(units):
                _log.warning("%s=%s prunes nothing of %s: every block keeps its last unit", kind, ratio, anatomy.model)
        plain = plain_values(config)
        ratios = {f"{kind}_ratio": plain[kind] for kind in KINDS}
        return cls.of(anatomy, masks, how="random", seed=seed, **ratios, config=plain)

    def shuffled(
        self,
        seed: int,
        key_value_groups: Sequence[int] | None = None,
        expert_groups: Sequence[int] | None = None,
        routing_groups: Sequence[int] | None = None,
    ) -> Ticket:
        """A random ticket of the same shape: as many units in every block, chosen by chance.

        Args:
            seed: of the choice.
            key_value_groups: of the ticket's attention blocks, where heads share keys and values: then as many groups
                stay, with as many heads in each.
            expert_groups: of the ticket's MLP blocks, where experts share a tensor: then each keeps as many neurons.
            routing_groups: of the ticket's mixtures, where routers compare groups: then each keeps as many experts.
        """
        generator = np.random.default_rng(seed)
        masks: dict[Kind, NDArray[np.bool_]] = {}
        every = {"heads": key_value_groups, "neurons": expert_groups, "experts": routing_groups}
        # The experts that stay are chosen before their neurons.
        for kind in sorted(self.masks, key=lambda kind: kind == "neurons"):
            mask, shared = self.masks[kind], every[kind]
            masks[kind] = np.zeros_like(mask)
            for block, count in enumerate(self.units[kind]):
                groups = count if shared is None else shared[block]
                experts = self._experts_in(masks, self.blocks[kind][block]) if kind == "neurons" else None
                if experts is not None:
                    groups = len(experts)
                in_group = mask[block, :count].reshape(groups, -1).sum(1)
                some = generator.choice(groups, size=int((in_group > 0).sum()), replace=False)
                for group in some if experts is None else np.flatnonzero(experts):
                    size = count // groups
                    chosen = generator.choice(size, size=int(in_group.max()), replace=False) if size > 1 else 0
                    masks[kind][block, group * size + chosen] = True
        provenance = {**self.provenance, "how": "random", "seed": seed}
        return replace(self, masks=masks, provenance=provenance)

    def shuffled_on(self, anatomy: Anatomy, seed: int) -> Ticket:
        """`shuffled` with the groups that a model has.

        Raises:
            InputError: the ticket is for another model.
        """

        def groups(kind: Kind, of_model: Sequence[int] | None) -> list[int] | None:
            if of_model is None or kind not in self.masks:
                return None
            return [of_model[row] for row in self.rows(anatomy, kind)]

        return self.shuffled(
            seed,
            groups("heads", anatomy.key_value_groups),
            groups("neurons", anatomy.expert_groups),
            groups("experts", anatomy.routing_groups),
        )

    def _experts_in(self, masks: Mapping[Kind, NDArray[np.bool_]], name: str) -> NDArray[np.bool_] | None:
        """Which experts masks keep of the mixture of a name, (experts,); None where they do not speak of one."""
        if "experts" not in masks or name not in self.blocks["experts"]:
            return None
        row = self.blocks["experts"].index(name)
        return masks["experts"][row, : self.units["experts"][row]]

    def kept(self, kind: Kind) -> tuple[int, ...]:
        """Units kept in each block of a kind."""
        return tuple(int(count) for count in self.masks[kind].sum(-1))

    def check(self, anatomy: Anatomy) -> None:
        """Raise InputError unless the ticket fits a model, naming the first block that does not."""
        for kind in self.units:
            self.rows(anatomy, kind)

    def rows(self, anatomy: Anatomy, kind: Kind) -> list[int]:
        """For each of the ticket's blocks of a kind the index of the model's block that it speaks of.

        By name where the model has all the names (a ticket may speak of some blocks only), else by position.

        Raises:
            InputError: the ticket is for another model.
        """
        units, names, found = self.units[kind], list(anatomy.names.get(kind, ())), anatomy.units.get(kind, ())
        if set(self.blocks[kind]) <= set(names):
            rows = [names.index(name) for name in self.blocks[kind]]
        elif len(found) == len(units):
            rows = list(range(len(units)))
        else:
            raise InputError(
                f"the ticket is for another model: it has {len(units)} blocks of {kind}, {anatomy.model} has"
                f" {len(found)}"
            )
        for name, expected, row in zip(self.blocks[kind], units, rows, strict=True):
            if expected != found[row]:
                raise InputError(
                    f"the ticket is for another model, or this one is pruned already: it expects {expected} {kind} in"
                    f" {name}, found {found[row]}"
                )
        return rows

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the ticket as JSON, in one move."""
        content = {
            kind: [
                {"block": name, "units": units, "kept": int(row.sum()), "mask": _packed(row[:units])}
                for name, units, row in zip(self.blocks[kind], self.units[kind], mask, strict=True)
            ]
            for kind, mask in self.masks.items()
        }
        body = {"masks": content, "provenance": dict(self.provenance)}
        data = {"format": "earlybird-ticket", "version": FORMAT_VERSION, "sha256": _digest(body), **body}
        write_whole(Path(path), json.dumps(data, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Ticket:
        """Read a ticket.

        Args:
            path: of a file, or of a directory with a ticket.json; or, as text, OWNER/NAME of a model on the Hugging
                Face hub that was published with one. What is here under that name goes first.

        Raises:
            InputError: there is no such file, or it is no ticket, damaged, or of another version.
        """
        source = Path(path)
        if source.is_dir():
            source /= FILE_NAME
        elif is_owner_and_name(path) and not source.exists():
            source = fetched(str(path), FILE_NAME)
        if not source.is_file():
            raise InputError(f"there is no ticket at {source}")
        if source.stat().st_size > _LARGEST_FILE:
            raise InputError(f"{source} is no ticket: it is larger than {_LARGEST_FILE >> 20} MiB")
        try:
            data = json.loads(source.read_text(encoding="utf-8"))
            if not isinstance(data, dict) or data.get("format") != "earlybird-ticket":
                raise InputError(f"{source} is no ticket: its format is not earlybird-ticket")
            if data["version"] != FORMAT_VERSION:
                raise InputError(f"{source} has version {data['version']!r}, this earlybird reads {FORMAT_VERSION}")
            if data["sha256"] != _digest({"masks": data["masks"], "provenance": data["provenance"]}):
                raise InputError(f"{source} is corrupt: its checksum does not fit its content")
            masks: dict[Kind, NDArray[np.bool_]] = {}
            units: dict[Kind, tuple[int, ...]] = {}
            blocks: dict[Kind, tuple[str, ...]] = {}
            for kind in KINDS:
                if kind not in data["masks"]:
                    continue
                rows = data["masks"][kind]
                if not rows:
                    raise InputError(f"{source} is corrupt: it says nothing of any block's {kind}")
                blocks[kind] = tuple(str(row["block"]) for row in rows)
                unpacked = [_unpacked(row["mask"], row["units"]) for row in rows]
                units[kind] = tuple(len(row) for row in unpacked)
                if len(rows) * max(units[kind], default=0) > max(_LARGEST_TABLE, _WIDEST * sum(units[kind])):
                    raise InputError(f"{source} is corrupt: its blocks are too unlike to be those of one model")
                masks[kind] = np.zeros((len(rows), max(units[kind], default=0)), dtype=np.bool_)
                for target, row in zip(masks[kind], unpacked, strict=True):
                    target[: len(row)] = row
            return cls(masks, units, blocks, dict(data["provenance"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{source} is corrupt: it cannot be read as a ticket ({error})") from error

    def __str__(self) -> str:
        parts = [
            f"{sum(self.kept(kind))} of {sum(self.units[kind])} {kind} kept" for kind in KINDS if kind in self.masks
        ]
        step = self.provenance.get("draw_step")
        return "Ticket: " + ", ".join(parts) + (f", drawn at step {step}" if step is not None else "")


def _check_anatomy(anatomy: Any) -> None:
    # By what it can do: its class lies in a room that knows tickets.
    if not hasattr(anatomy, "excluding"):
        raise InputError(f"anatomy must be an Anatomy, got {type(anatomy).__name__}; write Anatomy.of(model)")


def _without_neurons_of_gone_experts(
    masks: Mapping[Kind, NDArray[np.bool_]],
    units: Mapping[Kind, Sequence[int]],
    blocks: Mapping[Kind, Sequence[str]],
) -> None:
    """Let the neurons of experts that go, go with them, in place."""
    if not {"neurons", "experts"} <= set(masks):
        return
    for name, experts, kept in zip(blocks["experts"], units["experts"], masks["experts"], strict=True):
        if name not in blocks["neurons"]:
            continue
        row = blocks["neurons"].index(name)
        neurons = units["neurons"][row]
        if neurons % experts:
            raise InputError(f"the ticket says that {name} has {neurons} neurons in {experts} experts")
        masks["neurons"][row, :neurons] &= np.repeat(kept[:experts], neurons // experts)


def _as_mask(kind: Kind, mask: Any, units: Sequence[int]) -> NDArray[np.bool_]:
    """A mask of any array-like as a bool array of its own.

    Raises:
        InputError: it is no array, for instance one with rows of different lengths or a tensor on a GPU, or it holds
            other values than true and false.
    """
    try:
        values = np.asarray(mask)
    except (ValueError, TypeError, RuntimeError) as error:
        expected = (len(units), max(units, default=0))
        raise InputError(f"masks of {kind} must be {expected}, blocks x units of the widest: {error}") from error
    if values.dtype == np.bool_ or values.ndim != 2:
        return values.astype(np.bool_)
    neither = ~np.isin(values, (0, 1))
    if neither.any():
        raise InputError(
            f"masks of {kind} must hold True and False, or 1 and 0, got {values[neither][0]};"
            " of scores make masks with mask_at_ratio"
        )
    return values.astype(np.bool_)


def _listed(kinds: Iterable[str]) -> str:
    return " and ".join(kinds) or "no kind"


def _packed(row: NDArray[np.bool_]) -> str:
    return base64.b64encode(np.packbits(row).tobytes()).decode()


def _unpacked(text: str, units: int) -> NDArray[np.bool_]:
    data = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    if type(units) is not int or units < 1 or len(data) != -(-units // 8):
        raise ValueError(f"a mask of {len(data)} bytes cannot hold {units} units")
    return np.unpackbits(data, count=units).astype(np.bool_)


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
