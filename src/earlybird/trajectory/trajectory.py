"""A trajectory held in memory or mapped from its files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from earlybird.errors import InputError, nearest
from earlybird.spans import check_run_length
from earlybird.trajectory.files import MOST_STEPS, channel_file, complete_steps, pairs, read_description
from earlybird.trajectory.npy import recording, recordings
from earlybird.trajectory.shape import Shape
from earlybird.vocabulary import CHANNELS, KINDS, Channel, Kind

# How the steps of one channel are had: in memory already, or mapped from a file anew.
Source = Callable[[], NDArray[np.floating]]


class Trajectory:
    """Evidence over the steps, (steps, layers, units) float32 per kind and channel; read-only.

    Blocks of different width are padded to the widest with zeros; `units` tells the real counts.
    """

    def __init__(self, shape: Shape, records: Mapping[tuple[Kind, Channel], NDArray[np.floating] | Source]) -> None:
        self.shape = shape
        self._sources = {
            pair: values if callable(values) else partial(_same, values) for pair, values in records.items()
        }
        self.steps = min((len(source()) for source in self._sources.values()), default=0)

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
        experts: ArrayLike | None = None,
        total_steps: int | None = None,
        steps_per_epoch: float | None = None,
        channel: Channel = "coefficient",
    ) -> Trajectory:
        """A trajectory of one channel held in memory.

        Args:
            heads: (steps, layers, units) floats.
            neurons: (steps, layers, units) floats.
            experts: (steps, layers, units) floats.
            total_steps: the planned length of the run; by default what is recorded.
            steps_per_epoch: needed only where spans are given in epochs.
            channel: what the numbers are: the coefficients, their "deviation" from 1, or of their gradients the
                magnitudes ("gradient") or squares ("squared-gradient").

        Raises:
            InputError: an unknown channel, a negative magnitude or square, no array, an array that is not
                three-dimensional, different numbers of steps, or a planned length or an epoch that cannot be.
        """
        if channel not in CHANNELS:
            raise InputError(
                f"channel must be one of {', '.join(CHANNELS)}, got {channel!r}; {nearest(str(channel), CHANNELS)}"
            )
        arrays: dict[Kind, NDArray[np.floating]] = {}
        given: tuple[tuple[Kind, ArrayLike | None], ...] = (
            ("heads", heads),
            ("neurons", neurons),
            ("experts", experts),
        )
        for kind, values in given:
            if values is None:
                continue
            array = np.asarray(values)
            arrays[kind] = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
            if arrays[kind].ndim != 3:
                raise InputError(f"{kind} must be (steps, layers, units), got shape {arrays[kind].shape}")
            if channel.endswith("gradient") and arrays[kind].size and arrays[kind].min() < 0:
                raise InputError(
                    f"channel {channel!r} holds no negative numbers, got {arrays[kind].min()} for {kind}: give"
                    f" {'their squares' if channel == 'squared-gradient' else 'magnitudes, numpy.abs(...)'}"
                )
        lengths = {kind: len(values) for kind, values in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise InputError(f"the kinds must have equally many steps, at least one kind given, got {lengths}")
        steps = next(iter(lengths.values()))
        total = steps if total_steps is None else total_steps
        check_run_length(total, steps_per_epoch)
        if total < steps:
            raise InputError(f"total_steps must be at least the {steps} recorded steps, got {total}")
        if total > MOST_STEPS:
            raise InputError(f"total_steps must be at most {MOST_STEPS}, got {total}")
        if steps_per_epoch is not None and steps_per_epoch > MOST_STEPS:
            raise InputError(f"steps_per_epoch must be at most {MOST_STEPS}, got {steps_per_epoch}")
        units = {kind: (values.shape[2],) * values.shape[1] for kind, values in arrays.items()}
        shape = Shape(units, (channel,), total, steps_per_epoch)
        return cls(shape, {(kind, channel): values for kind, values in arrays.items()})

    @classmethod
    def from_npy(
        cls,
        directory: str | os.PathLike[str] | None = None,
        *,
        heads: str | os.PathLike[str] | None = None,
        neurons: str | os.PathLike[str] | None = None,
        total_steps: int | None = None,
        steps_per_epoch: float | None = None,
    ) -> Trajectory:
        """A trajectory of the study's recordings, `.npy` files of coefficients, (layers, steps, units) floats.

        Args:
            directory: holds `self_slimming_coef_records.npy` or `msa_slimming_coefs.npy` (heads) and
                `inter_slimming_coef_records.npy` or `mlp_slimming_coefs.npy` (neurons), either or both.
            heads: the heads' file, whatever its name.
            neurons: the neurons' file.
            total_steps: the planned length of the run; by default what is recorded.
            steps_per_epoch: needed only where spans are given in epochs.

        Raises:
            InputError: no file, two of one kind, one that is malformed or holds pickled objects, or different
                numbers of steps.
        """
        paths = recordings(directory, heads, neurons)
        arrays = {kind: recording(path) for kind, path in paths.items()}
        whole = cls.from_arrays(
            heads=arrays.get("heads"),
            neurons=arrays.get("neurons"),
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
        )
        return cls(whole.shape, {(kind, "coefficient"): partial(recording, path) for kind, path in paths.items()})

    @classmethod
    def open(cls, directory: str | os.PathLike[str]) -> Trajectory:
        """Map a recorded trajectory into memory, up to its last complete chunk.

        Raises:
            InputError: the directory holds no trajectory, or one that is damaged.
        """
        path = Path(directory)
        shape = read_description(path)
        steps = complete_steps(path, shape)
        records: dict[tuple[Kind, Channel], NDArray[np.floating] | Source] = {}
        for kind, channel in pairs(shape):
            layers, width = shape.record(kind)
            if steps == 0 or layers * width == 0:
                records[kind, channel] = np.zeros((steps, layers, width), dtype=np.float32)
                continue
            file = channel_file(path, kind, channel)
            records[kind, channel] = partial(_mapped, file, (steps, layers, width))
        return cls(shape, records)

    def evidence(self, kind: Kind, channel: Channel) -> NDArray[np.floating]:
        """One channel of a kind, (steps, layers, units).

        What lies in a file is mapped anew by every call: the pages that were read stay in memory as long as the array.

        Raises:
            InputError: the trajectory did not record it.
        """
        if (kind, channel) not in self._sources:
            recorded = ", ".join(f"{k} by {c}" for k, c in self._sources)
            raise InputError(f"the trajectory did not record {kind} by {channel}; it holds {recorded}")
        return self._sources[kind, channel]()[: self.steps]


def _mapped(file: Path, shape: tuple[int, int, int]) -> NDArray[np.floating]:
    return np.memmap(file, dtype="<f4", mode="r", shape=shape)


def _same(values: NDArray[np.floating]) -> NDArray[np.floating]:
    return values
