"""Finds the attention of one layer by the names and shapes of its projections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from earlybird.anatomy.block_config import config_read_by
from earlybird.anatomy.blocks import (
    AttentionBlock,
    Counted,
    GoneBlock,
    HeadCount,
    LeftOut,
    Part,
    Site,
    consecutive,
    joined,
)
from earlybird.anatomy.config_fields import has_field
from earlybird.anatomy.norms_over_heads import NormOverHeads, norm_over_heads
from earlybird.anatomy.other_parameters import beside_the_projections
from earlybird.anatomy.paths import below
from earlybird.anatomy.patterns import (
    BIAS_SHAPE_NAMES,
    GROUP_NAMES,
    GROUP_WIDTH_NAMES,
    HEAD_NAMES,
    INPUTS_OF_HEADS,
    KEPT_HEADS,
    PER_HEAD_ARGUMENTS,
    RATIO_NAMES,
    UNIT_SIZE_NAMES,
    WIDTH_NAMES,
    AttentionPattern,
    Layout,
)
from earlybird.anatomy.projections import Projection, projection_at
from earlybird.anatomy.source_code import argument_names, names_read
from earlybird.anatomy.without_heads import WithoutHeads

# Attributes that speak of heads without counting them.
_HARMLESS = ("head_dim", "head_size", "qk_head", "v_head", "d_head", "dim_per_head", "dim_head", "head_mask", "pruned")


class _MisfitError(Exception):
    """Why what looks like attention cannot be pruned."""


def attention_at(
    modules: Mapping[str, nn.Module], name: str, patterns: Sequence[AttentionPattern]
) -> AttentionBlock | GoneBlock | LeftOut | None:
    """The attention whose projections hang below a module, also without a head, why it cannot be pruned, or None."""
    for pattern in patterns:
        parts = {part: projection_at(modules, below(name, part)) for part in pattern.paths}
        if all(parts.values()):
            found = {part: projection for part, projection in parts.items() if projection is not None}
            owner = modules[_owner(modules, name, found[pattern.query].path)]
            if isinstance(owner, WithoutHeads):
                return GoneBlock(name, "heads", tuple(each.path for each in found.values()), owner.returned)
            try:
                return _block(modules, name, pattern, found)
            except _MisfitError as misfit:
                return LeftOut(name, str(misfit))
    return None


def _block(
    modules: Mapping[str, nn.Module], name: str, pattern: AttentionPattern, found: Mapping[str, Projection]
) -> AttentionBlock:
    query, key, value, output = (found[part] for part in (pattern.query, pattern.key, pattern.value, pattern.output))
    if len({id(modules[p.path]) for p in found.values()}) != len(found):
        raise _MisfitError("two of its projections are one and the same module")
    holders = _holders(modules, name, query.path)
    norms = _norms_over_heads(modules, query, key, value)
    units, groups, unit_size, value_size = _sizes(
        modules, holders, _selected(query, norms), _selected(key, norms), value, output, pattern.layout
    )
    norms = [norm for norm in norms if norm.normalised > unit_size]
    query, key = _selected(query, norms), _selected(key, norms)
    pieces = (
        consecutive(units, unit_size),
        units + consecutive(groups, unit_size),
        units + consecutive(groups, value_size),
    )
    parts = _projection_parts(pattern, (query, key, value), pieces, units, groups)
    rows = parts[0].unit_of
    columns = consecutive(units, value_size)
    parts += output.input_parts(columns)
    beside, reasons, normalised = beside_the_projections(
        modules,
        name,
        found.values(),
        [norm.path for norm in norms],
        units=units,
        groups=groups,
        unit_size=unit_size,
        value_size=value_size,
    )
    if reasons:
        raise _MisfitError(reasons[0])
    counts = tuple(_counts(modules, holders, units, groups, unit_size, value_size))
    _refuse_stale_counts(modules, holders, counts, units, groups)
    owner = _owner(modules, name, query.path)
    argument, biased = _bias(modules[owner])
    if KEPT_HEADS in modules[owner]._buffers:
        parts.append(Part(below(owner, KEPT_HEADS), 0, consecutive(units, 1)))
    refusal = ""
    if normalised or "normalize" in names_read(modules[owner]):
        refusal = "its queries are normalised after their projection, which would undo the scaling"
    elif biased or any("position_bias" in part.parameter for part in beside):
        refusal = "a position bias is added to its scores, which the scaling would not reach"
    elif beside:
        refusal = f"its scores or heads depend on {beside[0].parameter} too, which the scaling would not reach"
    return AttentionBlock(
        name=name,
        units=units,
        unit_size=unit_size,
        value_size=value_size,
        groups=groups,
        query=query.path,
        key=key.path,
        value=value.path,
        output=output.path,
        head_counts=counts,
        parts=(*parts, *beside),
        after=Site(output.path, columns),
        before=Site(query.path, np.where(rows < units, rows, -1), refusal),
        owner=owner,
        bias_argument=argument,
        norms=tuple(norm.path for norm in norms),
        shared_parts=tuple(part for norm in norms for part in norm.shared_parts(modules)),
    )


def _selected(projection: Projection, norms: Sequence[NormOverHeads]) -> Projection:
    """A projection as what comes after its norm over all heads sees it."""
    return next((norm.selected for norm in norms if norm.projection is projection), projection)


def _norms_over_heads(
    modules: Mapping[str, nn.Module], query: Projection, key: Projection, value: Projection
) -> list[NormOverHeads]:
    """Those of the queries and of the keys, where these have projections of their own."""
    if query.path == key.path or key.path == value.path:
        return []
    found = (norm_over_heads(modules, query, "q"), norm_over_heads(modules, key, "k"))
    return [norm for norm in found if norm is not None]


def _holders(modules: Mapping[str, nn.Module], name: str, query: str) -> tuple[str, ...]:
    """Where a block keeps its counts: its module and all below, and what is around its query."""
    inside = [path for path in modules if path == name or path.startswith(below(name, ""))] if name else [""]
    inside = [path for path in inside if INPUTS_OF_HEADS.isdisjoint(path.removeprefix(name).split("."))]
    around = query
    while len(around) > len(name):
        around = around.rpartition(".")[0]
        inside.append(around)
    return tuple(dict.fromkeys(inside))


def _owner(modules: Mapping[str, nn.Module], name: str, query: str) -> str:
    """The module whose forward pass computes the attention: the innermost one around the query projection."""
    around = query.rpartition(".")[0]
    return around if len(around) >= len(name) and not isinstance(modules[around], nn.Linear) else name


def _integers(modules: Mapping[str, nn.Module], holders: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for holder in holders:
        for attribute in names:
            value = vars(modules[holder]).get(attribute)
            if type(value) is int and value > 0:
                found[below(holder, attribute)] = value
    return found


def _integers_of_configs(
    modules: Mapping[str, nn.Module], holders: Sequence[str], names: Sequence[str]
) -> dict[str, int]:
    """The same of the configs that the holders have, where their forward passes read them."""
    found: dict[str, int] = {}
    for holder in holders:
        config, read = config_read_by(modules[holder]), names_read(modules[holder])
        for name in names:
            known = f"config.{name}" in read and config is not None and has_field(config, name)
            value = getattr(config, name) if known else None
            if type(value) is int and value > 0:
                found[below(holder, name)] = value
    return found


def _sizes(
    modules: Mapping[str, nn.Module],
    holders: Sequence[str],
    query: Projection,
    key: Projection,
    value: Projection,
    output: Projection,
    layout: Layout,
) -> tuple[int, int, int, int]:
    """Heads, key/value groups, features of a head in queries and keys, and in values."""
    said = _integers(modules, holders, HEAD_NAMES)
    sizes = _integers(modules, holders, UNIT_SIZE_NAMES)
    if said:
        if len(set(said.values())) != 1:
            raise _MisfitError(f"its modules do not agree on the number of heads: {said}")
        units = next(iter(said.values()))
    elif len(set(sizes.values())) == 1:
        features = output.inputs if query.path == value.path else query.outputs
        units, rest = divmod(features, next(iter(sizes.values())))
        if rest:
            raise _MisfitError(f"its {features} features are no multiple of the size of a head, {sizes}")
    else:
        raise _MisfitError(
            f"nothing says how many heads it has (looked for the attributes {', '.join(HEAD_NAMES)};"
            f" {', '.join(UNIT_SIZE_NAMES)})"
        )
    value_size, rest = divmod(output.inputs, units)
    if rest:
        raise _MisfitError(f"its output projection takes {output.inputs} features, no multiple of its {units} heads")
    if query.path == value.path:
        groups, rest = divmod(query.outputs - units * value_size, 2 * value_size)
        unit_size = value_size
    elif key.path == value.path and layout == "by-group":
        unit_size, rest = divmod(query.outputs, units)
        groups, rest = units, rest or key.outputs % units
    elif key.path == value.path:
        unit_size, rest = divmod(query.outputs, units)
        groups, rest = (0, 1) if rest else divmod(key.outputs, unit_size + value_size)
    else:
        unit_size, rest = divmod(query.outputs, units)
        groups, rest = (0, 1) if rest else divmod(key.outputs, unit_size)
        rest = rest or value.outputs != groups * value_size
    if rest or groups < 1 or units % groups:
        raise _MisfitError(
            f"its projections do not fit {units} heads: {query.outputs} query, {key.outputs} key, {value.outputs} value"
            f" features, {output.inputs} into the output projection"
        )
    return units, groups, unit_size, value_size


def _projection_parts(
    pattern: AttentionPattern,
    projections: tuple[Projection, Projection, Projection],
    pieces: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    units: int,
    groups: int,
) -> list[Part]:
    """Rows of the query, key and value projections, the query's first; `pieces` are their units and groups."""
    query, key, value = projections
    if query.path == value.path:
        return query.output_parts(_fused(pattern, pieces, units, groups))
    if key.path == value.path and pattern.layout == "by-group":
        return [*query.output_parts(pieces[0]), *key.output_parts(units + consecutive(groups, key.outputs // groups))]
    if key.path == value.path:
        return [*query.output_parts(pieces[0]), *key.output_parts(joined(pieces[1:]))]
    return [*query.output_parts(pieces[0]), *key.output_parts(pieces[1]), *value.output_parts(pieces[2])]


def _fused(
    pattern: AttentionPattern,
    pieces: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    units: int,
    groups: int,
) -> NDArray[np.int64]:
    rows = joined(pieces)
    if pattern.layout == "by-group":
        group = np.where(rows < units, rows // (units // groups), rows - units)
        rows = rows[np.argsort(group, kind="stable")]
    return rows


def _counts(
    modules: Mapping[str, nn.Module],
    holders: Sequence[str],
    units: int,
    groups: int,
    unit_size: int,
    value_size: int,
) -> Iterator[HeadCount]:
    in_configs: tuple[tuple[Counted, Sequence[str], int], ...] = (
        ("heads", HEAD_NAMES, units),
        ("groups", GROUP_NAMES, groups),
    )
    for counted, names, expected in in_configs:
        for path, value in _integers_of_configs(modules, holders, names).items():
            if value == expected:
                yield HeadCount(path, counted, in_config=True)
    tables: tuple[tuple[Counted, Sequence[str], int], ...] = (
        *in_configs,
        ("ratio", RATIO_NAMES, units // groups),
        ("value width", WIDTH_NAMES, units * value_size),
        ("width", WIDTH_NAMES, units * unit_size),
        ("group width", GROUP_WIDTH_NAMES, groups * unit_size),
    )
    for counted, names, expected in tables:
        for path, value in _integers(modules, holders, names).items():
            if value == expected and not (counted == "width" and unit_size == value_size):
                yield HeadCount(path, counted)
    for holder in holders:
        for name in BIAS_SHAPE_NAMES:
            shape = vars(modules[holder]).get(name)
            if isinstance(shape, tuple) and shape[-1:] == (units,):
                yield HeadCount(below(holder, name), "bias shape")


def _refuse_stale_counts(
    modules: Mapping[str, nn.Module], holders: Sequence[str], counts: Sequence[HeadCount], units: int, groups: int
) -> None:
    """Refuse where the forward pass reads a number of heads that pruning would leave as it was."""
    updated = {count.path for count in counts if not count.in_config}
    from_configs = {count.path for count in counts if count.in_config}
    for holder in holders:
        module = modules[holder]
        read = names_read(module)
        stale = [
            f"config.{name}"
            for name in (*HEAD_NAMES, *GROUP_NAMES)
            if f"config.{name}" in read and below(holder, name) not in from_configs
        ]
        for attribute, value in vars(module).items():
            counting = "head" in attribute or "group" in attribute
            if (
                counting
                and attribute in read
                and type(value) is int
                and value in (units, groups)
                and value > 1
                and below(holder, attribute) not in updated
                and not any(word in attribute for word in _HARMLESS)
            ):
                stale.append(attribute)
        if stale:
            raise _MisfitError(
                f"its forward pass reads the number of heads from {stale[0]}, which cannot differ by layer"
            )


def _bias(module: nn.Module) -> tuple[str, bool]:
    """The argument that brings a bias for all heads, or "", and whether there is any bias of the scores."""
    # A config that has a switch of the argument's name tells whether anything comes there (Falcon's alibi).
    config = getattr(module, "config", None)
    arguments = [n for n in PER_HEAD_ARGUMENTS if n in argument_names(module) and getattr(config, n, True)]
    if hasattr(module, "has_relative_attention_bias"):
        return "position_bias" if "position_bias" in arguments else "", True
    return (arguments[0], True) if arguments else ("", False)
