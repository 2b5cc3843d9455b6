"""The files of a trajectory: their names, what they hold, how much of them is whole."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from earlybird.errors import InputError
from earlybird.masks import UnitCosts, WidthCurve
from earlybird.trajectory.shape import Shape
from earlybird.vocabulary import CHANNELS, KINDS, MEASURES, Channel, Kind

FORMAT_VERSION = 1
DESCRIPTION = "trajectory.json"
CHUNKS = "chunks.jsonl"
_COUNTS = ("key_value_groups", "valid_head_counts", "expert_groups", "routing_groups")
_FORMER_NAMES = {"valid_head_counts": "admitted_heads"}  # as earlier records have them
_LARGEST_STEP = 1 << 33  # bytes; a description that claims more is lying, not large
_MOST_COST = 1e30
MOST_STEPS = 1 << 53  # beyond, a float no longer counts them


def pairs(shape: Shape) -> list[tuple[Kind, Channel]]:
    """Every kind and channel that is recorded, in the order of their files."""
    return [
        (kind, channel) for kind in KINDS if kind in shape.units for channel in CHANNELS if channel in shape.channels
    ]


def channel_file(directory: Path, kind: Kind, channel: Channel) -> Path:
    """The file of one kind's channel."""
    return directory / f"{kind}.{channel}.f32"


def record_bytes(shape: Shape, kind: Kind) -> int:
    """Bytes of one step of a kind's channel."""
    layers, width = shape.record(kind)
    return 4 * layers * width


def discard(directory: Path) -> None:
    """Remove the trajectory of a directory, if there is one, and nothing else."""
    channels = (channel_file(directory, kind, channel) for kind in KINDS for channel in CHANNELS)
    for path in (directory / DESCRIPTION, directory / CHUNKS, *channels):
        path.unlink(missing_ok=True)


def describe(shape: Shape) -> dict[str, Any]:
    """What the description file holds."""
    return {
        "format": "earlybird-trajectory",
        "version": FORMAT_VERSION,
        "units": {kind: list(counts) for kind, counts in shape.units.items()},
        "channels": list(shape.channels),
        "total_steps": shape.total_steps,
        "steps_per_epoch": shape.steps_per_epoch,
        "model": shape.model,
        **{name: list(counts) for name in _COUNTS if (counts := getattr(shape, name)) is not None},
        **({} if shape.costs is None else {"costs": _told(shape.costs)}),
    }


def read_description(path: Path) -> Shape:
    """Read a description and doubt it.

    Raises:
        InputError: there is none, it is damaged, or of another version.
    """
    file = path / DESCRIPTION
    if not file.is_file():
        raise InputError(f"{path} is not a trajectory: there is no {DESCRIPTION} in it")
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["format"] != "earlybird-trajectory" or data["version"] != FORMAT_VERSION:
            raise InputError(f"{file} has version {data['version']!r}, this earlybird reads {FORMAT_VERSION}")
        units: dict[Kind, tuple[int, ...]] = {
            kind: tuple(data["units"][kind]) for kind in KINDS if kind in data["units"]
        }
        channels: tuple[Channel, ...] = tuple(channel for channel in CHANNELS if channel in data["channels"])
        groups, valid, experts, routing = (_counts(data, name) for name in _COUNTS)
        costs = UnitCosts.from_plain(data["costs"]) if "costs" in data else None
        shape = Shape(
            units,
            channels,
            data["total_steps"],
            data["steps_per_epoch"],
            data["model"],
            groups,
            valid,
            costs,
            experts,
            routing,
        )
        counts: Sequence[Any] = [count for row in units.values() for count in row]
        plausible = (
            bool(units)
            and bool(channels)
            and all(type(count) is int and count >= 0 for count in counts)
            and type(shape.total_steps) is int
            and 1 <= shape.total_steps <= MOST_STEPS
            and (
                shape.steps_per_epoch is None
                or (type(shape.steps_per_epoch) in (int, float) and 0 < shape.steps_per_epoch <= MOST_STEPS)
            )
            and isinstance(shape.model, str)
            and (groups is None or _divide(groups, units.get("heads", ())))
            and (experts is None or _divide(experts, units.get("neurons", ())))
            and (routing is None or _divide(routing, units.get("experts", ())))
            and all(type(count) is int and count > 0 for count in valid or ())
            and (costs is None or _fit(costs, units, groups))
            and sum(record_bytes(shape, kind) for kind in units) <= _LARGEST_STEP
        )
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{file} is damaged: {error!r}") from error
    if not plausible:
        raise InputError(f"{file} is damaged: its sizes make no sense")
    return shape


def _counts(data: Mapping[str, Any], name: str) -> tuple[Any, ...] | None:
    written = name if name in data else _FORMER_NAMES.get(name, name)
    return tuple(data[written]) if written in data else None


def _told(costs: UnitCosts) -> dict[str, Any]:
    """What is told of costs that were counted."""
    return {key: value for key, value in asdict(costs).items() if value is not None}


def _fit(costs: UnitCosts, units: Mapping[Kind, Sequence[int]], groups: Sequence[int] | None) -> bool:
    """Whether costs are those of the recorded blocks: numbers of the right count that add up."""
    of_units = [cost for row in costs.units.values() for cost in row]
    numbers = [costs.fixed, costs.whole, *costs.groups, *of_units]
    fits = (
        costs.measure in MEASURES
        and type(costs.tokens) is int
        and costs.tokens >= 1
        and {kind: len(row) for kind, row in costs.units.items()} == {kind: len(row) for kind, row in units.items()}
        and len(costs.groups) == len(units.get("heads", ()))
        and all(type(number) in (int, float) and 0 <= number < _MOST_COST for number in numbers)
        and min(of_units, default=1) > 0
        and costs.whole > 0
    )
    if not fits:
        return False
    if (costs.measure == "milliseconds") != (costs.curves is not None):
        return False
    if costs.curves is not None:
        return all(_are_curves(costs.curves[kind], units[kind]) for kind in units)
    total = costs.fixed + sum(
        cost * n for kind in units for cost, n in zip(costs.units[kind], units[kind], strict=True)
    )
    total += sum(cost * n for cost, n in zip(costs.groups, groups or (), strict=False))
    # Tables of position biases that are copied once heads are pruned (T5) come on top of the whole.
    return costs.whole <= total * (1 + 1e-6) <= 2 * costs.whole


def _are_curves(curves: Sequence[WidthCurve], units: Sequence[int]) -> bool:
    """Whether there is a curve of each block."""
    return len(curves) == len(units) and all(_is_curve(*each) for each in zip(curves, units, strict=True))


def _is_curve(curve: WidthCurve, units: int) -> bool:
    """Whether a curve is one of a block of so many units: numbers that rise, from 0 on."""
    if not 0 < len(curve.counts) == len(curve.costs) <= units + 1:
        return False
    numbers = all(type(count) is int for count in curve.counts) and all(
        type(cost) in (int, float) and 0 <= cost < _MOST_COST for cost in curve.costs
    )
    rises = list(curve.counts) == sorted(set(curve.counts)) and list(curve.costs) == sorted(curve.costs)
    return numbers and rises and curve.counts[0] >= 0 and curve.counts[-1] == units


def _divide(groups: Sequence[Any], units: Sequence[int]) -> bool:
    """Whether there are whole numbers of units in each block's groups."""
    return len(groups) == len(units) and all(
        type(group) is int and group > 0 and count % group == 0 for group, count in zip(groups, units, strict=True)
    )


def complete_steps(path: Path, shape: Shape) -> int:
    """Steps of the complete chunks; the last one is verified, a torn tail is left out."""
    ends: list[tuple[int, int, int]] = []
    try:
        lines = (path / CHUNKS).read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise InputError(f"{path / CHUNKS} cannot be read: {error}") from error
    for line in lines:
        try:
            chunk = json.loads(line)
            end, steps, checksum = (int(chunk[key]) for key in ("end", "steps", "crc32"))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            break
        if steps < 1 or end != steps + (ends[-1][0] if ends else 0):
            break
        ends.append((end, steps, checksum))
    whole = min(
        (
            channel_file(path, *pair).stat().st_size // record_bytes(shape, pair[0])
            if channel_file(path, *pair).is_file()
            else 0
            for pair in pairs(shape)
            if record_bytes(shape, pair[0])
        ),
        default=0,
    )
    while ends and (ends[-1][0] > whole or chunk_checksum(path, shape, ends[-1]) != ends[-1][2]):
        ends.pop()
    return ends[-1][0] if ends else 0


def chunk_checksum(path: Path, shape: Shape, chunk: tuple[int, int, int]) -> int:
    """CRC-32 of the bytes that a chunk (end step, steps, checksum) wrote, over all files."""
    end, steps, _ = chunk
    checksum = 0
    for pair in pairs(shape):
        record = record_bytes(shape, pair[0])
        if record == 0:
            continue
        with channel_file(path, *pair).open("rb") as file:
            file.seek((end - steps) * record)
            left = steps * record
            while left and (data := file.read(min(left, 1 << 24))):
                checksum = zlib.crc32(data, checksum)
                left -= len(data)
    return checksum
