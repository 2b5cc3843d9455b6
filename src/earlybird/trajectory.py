"""The append-only record of the evidence that scores are made of, step by step.

Channels: `deviation` of the coefficient from 1 (what a search records: float32 has a resolution of 1e-10
there, and of 6e-8 around 1), `coefficient` as others recorded it, `gradient` (its magnitude) and
`squared-gradient` of the coefficient.

On disk a trajectory is a directory: `trajectory.json` describes it, `{kind}.{channel}.f32` holds
little-endian float32 records of one step each, `chunks.jsonl` says which steps are whole. A chunk counts from
the moment its line in `chunks.jsonl` is complete, and that line is written last; so a run killed at any
moment leaves a trajectory that opens up to its last complete chunk, and only numbers are read from a file.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from earlybird.errors import InputError

Kind = Literal["heads", "neurons"]
Channel = Literal["deviation", "coefficient", "gradient", "squared-gradient"]
KINDS: tuple[Kind, ...] = get_args(Kind)
CHANNELS: tuple[Channel, ...] = get_args(Channel)

FORMAT_VERSION = 1
_DESCRIPTION = "trajectory.json"
_CHUNKS = "chunks.jsonl"
_LARGEST_STEP = 1 << 33  # bytes; a description that claims more is lying, not large


@dataclass(frozen=True)
class Shape:
    """What is recorded: units of each block per kind, the channels, and the planned length of the run."""

    units: Mapping[Kind, tuple[int, ...]]
    channels: tuple[Channel, ...]
    total_steps: int
    steps_per_epoch: float | None = None
    model: str = ""  # fingerprint of the anatomy, so that a foreign trajectory is recognised

    def record(self, kind: Kind) -> tuple[int, int]:
        """Shape of one step of a kind: (layers, widest block)."""
        return len(self.units[kind]), max(self.units[kind], default=0)


class Trajectory:
    """Evidence over the steps, (steps, layers, units) float32 per kind and channel; read-only.

    Blocks of different width are padded to the widest with zeros; `units` tells the real counts.
    """

    def __init__(self, shape: Shape, records: Mapping[tuple[Kind, Channel], NDArray[np.floating]]) -> None:
        self.shape = shape
        self._records = records
        self.steps = min((len(values) for values in records.values()), default=0)

    @property
    def total_steps(self) -> int:
        """The planned steps of the run, of which `steps` are recorded."""
        return self.shape.total_steps

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of unit recorded."""
        return tuple(kind for kind in KINDS if kind in self.shape.units)

    @classmethod
    def from_arrays(
        cls,
        *,
        heads: ArrayLike | None = None,
        neurons: ArrayLike | None = None,
        total_steps: int | None = None,
        steps_per_epoch: float | None = None,
    ) -> Trajectory:
        """A trajectory of coefficients held in memory.

        Args:
            heads: (steps, layers, units) floats.
            neurons: (steps, layers, units) floats.
            total_steps: the planned length of the run; by default what is recorded.
            steps_per_epoch: needed only where spans are given in epochs.

        Raises:
            InputError: no array, an array that is not three-dimensional, or different numbers of steps.
        """
        arrays: dict[Kind, NDArray[np.floating]] = {}
        given: tuple[tuple[Kind, ArrayLike | None], ...] = (("heads", heads), ("neurons", neurons))
        for kind, values in given:
            if values is None:
                continue
            array = np.asarray(values)
            arrays[kind] = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
            if arrays[kind].ndim != 3:
                raise InputError(f"{kind} must be (steps, layers, units), got shape {arrays[kind].shape}")
        lengths = {kind: len(values) for kind, values in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise InputError(f"heads and neurons must have equally many steps, at least one kind given, got {lengths}")
        steps = next(iter(lengths.values()))
        total = steps if total_steps is None else total_steps
        if total < steps:
            raise InputError(f"total_steps must be at least the {steps} recorded steps, got {total}")
        units = {kind: (values.shape[2],) * values.shape[1] for kind, values in arrays.items()}
        shape = Shape(units, ("coefficient",), total, steps_per_epoch)
        return cls(shape, {(kind, "coefficient"): values for kind, values in arrays.items()})

    @classmethod
    def open(cls, directory: str | os.PathLike[str]) -> Trajectory:
        """Map a recorded trajectory into memory, up to its last complete chunk.

        Raises:
            InputError: the directory holds no trajectory, or one that is damaged.
        """
        path = Path(directory)
        shape = _read_description(path)
        steps = _complete_steps(path, shape)
        records: dict[tuple[Kind, Channel], NDArray[np.floating]] = {}
        for kind, channel in _pairs(shape):
            layers, width = shape.record(kind)
            if steps == 0 or layers * width == 0:
                records[kind, channel] = np.zeros((steps, layers, width), dtype=np.float32)
                continue
            records[kind, channel] = np.memmap(
                _file(path, kind, channel), dtype="<f4", mode="r", shape=(steps, layers, width)
            )
        return cls(shape, records)

    def evidence(self, kind: Kind, channel: Channel) -> NDArray[np.floating]:
        """One channel of a kind, (steps, layers, units).

        Raises:
            InputError: the trajectory did not record it.
        """
        if (kind, channel) not in self._records:
            recorded = ", ".join(f"{k} by {c}" for k, c in self._records)
            raise InputError(f"the trajectory did not record {kind} by {channel}; it holds {recorded}")
        return self._records[kind, channel][: self.steps]


class TrajectoryWriter:
    """Appends steps to a trajectory on disk; memory holds one chunk, whatever the length of the run.

    Opening a directory that already holds steps keeps the first `keep_steps` of them (a run resumed from a
    checkpoint repeats the steps after it) and goes on from there.
    """

    def __init__(self, directory: Path, shape: Shape, *, chunk_steps: int, keep_steps: int = 0) -> None:
        if chunk_steps < 1:
            raise InputError(f"chunk_steps must be at least 1, got {chunk_steps}")
        if keep_steps < 0:
            raise InputError(f"keep_steps must be at least 0, got {keep_steps}")
        self._path = directory
        self._shape = shape
        self._chunk_steps = chunk_steps
        self._pending: list[Mapping[tuple[Kind, Channel], NDArray[np.float32]]] = []
        directory.mkdir(parents=True, exist_ok=True)
        lines = self._lines_to_keep(keep_steps)
        # First what counts, then the cut: killed in between, the kept steps are still whole.
        _write_whole(directory / _CHUNKS, "".join(lines))
        self._files = {
            pair: _opened_at(_file(directory, *pair), keep_steps * _record_bytes(shape, pair[0]))
            for pair in _pairs(shape)
        }
        if not lines:
            _write_whole(directory / _DESCRIPTION, json.dumps(_description(shape), indent=1))
        self._index = (directory / _CHUNKS).open("a", encoding="utf-8")
        self.steps = keep_steps

    def append(self, evidence: Mapping[tuple[Kind, Channel], NDArray[np.float32]]) -> None:
        """Add one step: for every kind and channel a (layers, units) float32 array, not changed afterwards.

        Raises:
            InputError: an array is missing, or of another shape than the trajectory's.
        """
        for kind, channel in self._files:
            found = evidence[kind, channel].shape if (kind, channel) in evidence else None
            if found != self._shape.record(kind):
                raise InputError(f"{kind} by {channel} must be {self._shape.record(kind)} at every step, got {found}")
        self._pending.append(evidence)
        if len(self._pending) >= self._chunk_steps:
            self.flush()

    def flush(self) -> None:
        """Write what is pending as a whole chunk."""
        if not self._pending:
            return
        checksum = 0
        for pair, file in self._files.items():
            data = np.stack([step[pair] for step in self._pending]).astype("<f4", copy=False).tobytes()
            checksum = zlib.crc32(data, checksum)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.steps += len(self._pending)
        self._index.write(_chunk_line(self.steps, len(self._pending), checksum))
        self._index.flush()
        os.fsync(self._index.fileno())
        self._pending.clear()

    def close(self) -> None:
        """Flush and close the files."""
        self.flush()
        for file in (*self._files.values(), self._index):
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lines_to_keep(self, keep_steps: int) -> list[str]:
        """Index lines of the kept steps; the chunk that the cut goes through is counted anew."""
        if keep_steps == 0:
            return []
        stored = _read_description(self._path)
        if (stored.units, _pairs(stored), stored.model) != (
            self._shape.units,
            _pairs(self._shape),
            self._shape.model,
        ):
            raise InputError(
                f"{self._path} holds the trajectory of another model; give the search a directory of its own"
            )
        available = _complete_steps(self._path, stored)
        if available < keep_steps:
            raise InputError(
                f"{self._path} holds {available} steps, but the checkpoint to resume from is at {keep_steps}"
            )
        checksum = _checksum(self._path, self._shape, (keep_steps, keep_steps, 0))
        return [_chunk_line(keep_steps, keep_steps, checksum)]


def _pairs(shape: Shape) -> list[tuple[Kind, Channel]]:
    return [
        (kind, channel) for kind in KINDS if kind in shape.units for channel in CHANNELS if channel in shape.channels
    ]


def _file(directory: Path, kind: Kind, channel: Channel) -> Path:
    return directory / f"{kind}.{channel}.f32"


def _record_bytes(shape: Shape, kind: Kind) -> int:
    layers, width = shape.record(kind)
    return 4 * layers * width


def _chunk_line(end: int, steps: int, checksum: int) -> str:
    return json.dumps({"end": end, "steps": steps, "crc32": checksum}) + "\n"


def _opened_at(path: Path, size: int) -> Any:
    """The file cut to `size` bytes and open for appending."""
    file = path.open("ab")
    file.truncate(size)
    return file


def _write_whole(path: Path, text: str) -> None:
    """Replace a small file in one move, so that it is never seen half-written."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _description(shape: Shape) -> dict[str, Any]:
    return {
        "format": "earlybird-trajectory",
        "version": FORMAT_VERSION,
        "units": {kind: list(counts) for kind, counts in shape.units.items()},
        "channels": list(shape.channels),
        "total_steps": shape.total_steps,
        "steps_per_epoch": shape.steps_per_epoch,
        "model": shape.model,
    }


def _read_description(path: Path) -> Shape:
    file = path / _DESCRIPTION
    if not file.is_file():
        raise InputError(f"{path} is not a trajectory: there is no {_DESCRIPTION} in it")
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["format"] != "earlybird-trajectory" or data["version"] != FORMAT_VERSION:
            raise InputError(f"{file} has version {data['version']!r}, this earlybird reads {FORMAT_VERSION}")
        units: dict[Kind, tuple[int, ...]] = {
            kind: tuple(data["units"][kind]) for kind in KINDS if kind in data["units"]
        }
        channels: tuple[Channel, ...] = tuple(channel for channel in CHANNELS if channel in data["channels"])
        shape = Shape(units, channels, data["total_steps"], data["steps_per_epoch"], data["model"])
        counts: Sequence[Any] = [count for row in units.values() for count in row]
        plausible = (
            bool(units)
            and bool(channels)
            and all(type(count) is int and count >= 0 for count in counts)
            and type(shape.total_steps) is int
            and shape.total_steps >= 1
            and isinstance(shape.steps_per_epoch, (int, float, type(None)))
            and isinstance(shape.model, str)
            and sum(_record_bytes(shape, kind) for kind in units) <= _LARGEST_STEP
        )
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{file} is damaged: {error!r}") from error
    if not plausible:
        raise InputError(f"{file} is damaged: its sizes make no sense")
    return shape


def _complete_steps(path: Path, shape: Shape) -> int:
    """Steps of the complete chunks; the last one is verified, a torn tail is left out."""
    ends: list[tuple[int, int, int]] = []
    try:
        lines = (path / _CHUNKS).read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise InputError(f"{path / _CHUNKS} cannot be read: {error}") from error
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
            _file(path, *pair).stat().st_size // _record_bytes(shape, pair[0]) if _file(path, *pair).is_file() else 0
            for pair in _pairs(shape)
            if _record_bytes(shape, pair[0])
        ),
        default=0,
    )
    while ends and (ends[-1][0] > whole or _checksum(path, shape, ends[-1]) != ends[-1][2]):
        ends.pop()
    return ends[-1][0] if ends else 0


def _checksum(path: Path, shape: Shape, chunk: tuple[int, int, int]) -> int:
    end, steps, _ = chunk
    checksum = 0
    for pair in _pairs(shape):
        record = _record_bytes(shape, pair[0])
        if record == 0:
            continue
        with _file(path, *pair).open("rb") as file:
            file.seek((end - steps) * record)
            left = steps * record
            while left and (data := file.read(min(left, 1 << 24))):
                checksum = zlib.crc32(data, checksum)
                left -= len(data)
    return checksum
