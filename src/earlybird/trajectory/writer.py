"""Appending steps to a trajectory on disk, chunk by chunk."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from earlybird.atomic_write import write_whole
from earlybird.errors import InputError
from earlybird.trajectory.files import (
    CHUNKS,
    DESCRIPTION,
    channel_file,
    chunk_checksum,
    complete_steps,
    describe,
    pairs,
    read_description,
    record_bytes,
)
from earlybird.trajectory.shape import Shape
from earlybird.trajectory.trajectory import Trajectory
from earlybird.vocabulary import Channel, Kind


class TrajectoryWriter:
    """Appends steps to a trajectory on disk; memory holds one chunk, whatever the length of the run.

    Opening a directory that already holds steps keeps the first `keep_steps` of them (a run resumed from a
    checkpoint repeats the steps after it) and goes on from there.

    Args:
        directory: of the trajectory.
        shape: of what is recorded.
        chunk_steps: steps that are written together.
        keep_steps: of those that are there.
        keep_checksum: what `newest_checksum` said of the last of them; None trusts that they are the same ones.

    Raises:
        InputError: a number out of bounds, what is there cannot be gone on with, or a file of it is a link.
    """

    def __init__(
        self,
        directory: Path,
        shape: Shape,
        *,
        chunk_steps: int,
        keep_steps: int = 0,
        keep_checksum: int | None = None,
    ) -> None:
        if chunk_steps < 1:
            raise InputError(f"chunk_steps must be at least 1, got {chunk_steps}")
        if keep_steps < 0:
            raise InputError(f"keep_steps must be at least 0, got {keep_steps}")
        self._path = directory
        self._shape = shape
        self._chunk_steps = chunk_steps
        self._pending: list[Mapping[tuple[Kind, Channel], NDArray[np.float32]]] = []
        directory.mkdir(parents=True, exist_ok=True)
        lines = self._lines_to_keep(keep_steps, keep_checksum)
        files = {pair: channel_file(directory, *pair) for pair in pairs(shape)}
        for file in files.values():
            if file.is_symlink():
                raise InputError(f"{file} is a link: what it points to would be overwritten")
        # First what counts, then the cut: killed in between, the kept steps are still whole.
        write_whole(directory / CHUNKS, "".join(lines))
        self._files = {
            pair: _opened_at(file, keep_steps * record_bytes(shape, pair[0])) for pair, file in files.items()
        }
        # Also of a record that goes on: more steps may be planned now than were.
        write_whole(directory / DESCRIPTION, json.dumps(describe(shape), indent=1))
        self._index = _open_for_appending(directory / CHUNKS)
        self._index_size = self._index.tell()
        self.steps = keep_steps

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Refuse."""
        raise InputError(
            "two searches cannot write one record: copy the model without its search, or a search that keeps no record"
        )

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
        """Write what is pending as a whole chunk; where that fails it stays pending."""
        if not self._pending:
            return
        checksum = 0
        for pair, file in self._files.items():
            # What a flush that failed has left.
            file.truncate(self.steps * record_bytes(self._shape, pair[0]))
            data = np.stack([step[pair] for step in self._pending]).astype("<f4", copy=False).tobytes()
            checksum = zlib.crc32(data, checksum)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        steps = self.steps + len(self._pending)
        line = _chunk_line(steps, len(self._pending), checksum).encode()
        self._index.truncate(self._index_size)
        self._index.write(line)
        self._index.flush()
        os.fsync(self._index.fileno())
        self._index_size += len(line)
        self.steps = steps
        self._pending.clear()

    def newest_checksum(self) -> int:
        """CRC-32 of the newest written step, over all files."""
        return chunk_checksum(self._path, self._shape, (self.steps, min(self.steps, 1), 0))

    def close(self) -> None:
        """Flush and close the files, also if they take no more."""
        with contextlib.ExitStack() as files:
            for file in (*self._files.values(), self._index):
                files.callback(file.close)
            self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lines_to_keep(self, keep_steps: int, keep_checksum: int | None) -> list[str]:
        """Index lines of the kept steps; the chunk that the cut goes through is counted anew."""
        if keep_steps == 0:
            return []
        stored = read_description(self._path)
        if (stored.units, stored.model) != (self._shape.units, self._shape.model):
            raise InputError(
                f"{self._path} holds the trajectory of another model, or of other kinds of unit; give the search a"
                " directory of its own"
            )
        if pairs(stored) != pairs(self._shape):
            raise InputError(
                f"{self._path} was recorded with channels {', '.join(stored.channels)}, to go on with"
                f" {', '.join(self._shape.channels)}; give the search the score and record_gradients that it began with"
            )
        available = complete_steps(self._path, stored)
        if available < keep_steps:
            raise InputError(
                f"{self._path} holds {available} steps, but the checkpoint to resume from is at {keep_steps}"
            )
        if keep_checksum not in (None, chunk_checksum(self._path, self._shape, (keep_steps, 1, 0))):
            raise InputError(
                f"{self._path} holds another search at step {keep_steps - 1} than the one to go on with: resume from a"
                " state that was saved with this record, or begin anew"
            )
        checksum = chunk_checksum(self._path, self._shape, (keep_steps, keep_steps, 0))
        return [_chunk_line(keep_steps, keep_steps, checksum)]


def write_trajectory(trajectory: Trajectory, directory: Path, *, chunk_steps: int = 256) -> None:
    """Write a trajectory of coefficients as a directory of its own.

    Raises:
        InputError: the directory holds something already, or float32 would round a coefficient.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(f"{directory} is there already; give a directory that is not")
    shape = trajectory.shape
    evidence = {pair: trajectory.evidence(*pair) for pair in pairs(shape)}
    for (kind, _), values in evidence.items():
        for start in range(0, len(values), chunk_steps):
            chunk = values[start : start + chunk_steps]
            if not np.array_equal(chunk, chunk.astype(np.float32), equal_nan=True):
                raise InputError(
                    f"the {kind} hold digits that a trajectory's float32 would round; Trajectory.from_npy keeps them"
                )
    with TrajectoryWriter(directory, shape, chunk_steps=chunk_steps) as writer:
        for step in range(trajectory.steps):
            writer.append({pair: values[step].astype(np.float32) for pair, values in evidence.items()})


def _opened_at(path: Path, size: int) -> BinaryIO:
    """The file cut to `size` bytes and open for appending."""
    file = _open_for_appending(path)
    file.truncate(size)
    return file


def _open_for_appending(path: Path) -> BinaryIO:
    return path.open("ab")


def _chunk_line(end: int, steps: int, checksum: int) -> str:
    return json.dumps({"end": end, "steps": steps, "crc32": checksum}) + "\n"
