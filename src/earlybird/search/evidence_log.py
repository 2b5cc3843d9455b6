"""What a search measures, on its way from the device to the record and, a little later, to the detector."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earlybird.errors import InputError, JobError
from earlybird.masks.finite import all_finite
from earlybird.trajectory import TrajectoryWriter
from earlybird.vocabulary import Channel, Kind

Evidence = Mapping[tuple[Kind, Channel], NDArray[np.float32]]


class HostCopies:
    """Copies of a device's tensors on their way to the host, in the order in which they were sent.

    A host runs ahead of a CUDA device by what it has queued there. To wait for a copy just queued would let the device
    run dry; a few training steps later it has arrived.
    """

    def __init__(self) -> None:
        self._under_way: deque[tuple[int, dict[tuple[Kind, Channel], Tensor], torch.cuda.Event | None]] = deque()

    def __len__(self) -> int:
        return len(self._under_way)

    def send(self, step: int, tensors: Mapping[tuple[Kind, Channel], Tensor]) -> None:
        """Queue copies of a step's tensors, all of one device, which may be changed afterwards."""
        # From CUDA a copy need not wait: it goes into pinned memory, and an event tells its arrival.
        copies = {
            name: tensor.detach().to("cpu", non_blocking=tensor.is_cuda, copy=True) for name, tensor in tensors.items()
        }
        event = None
        devices = {tensor.device for tensor in tensors.values() if tensor.is_cuda}
        if devices:
            (device,) = devices
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            # Of the tensors' own device, which need not be the current one.
            event.record(torch.cuda.current_stream(device))
        self._under_way.append((step, copies, event))

    def receive(self) -> tuple[int, Evidence]:
        """The step, and what was sent of it, first of all that was not received yet; waits for it."""
        step, copies, event = self._under_way.popleft()
        if event is None:
            return step, {name: copy.numpy() for name, copy in copies.items()}
        event.synchronize()
        # Out of pinned memory, which the next copies take.
        return step, {name: copy.numpy().copy() for name, copy in copies.items()}

    def clear(self) -> None:
        """Forget what was not received yet."""
        self._under_way.clear()


class EvidenceLog:
    """The evidence of steps that were not looked at yet, (layers, units) per kind and channel, oldest first.

    Args:
        writer: of the record, if there is one.
    """

    def __init__(self, writer: TrajectoryWriter | None) -> None:
        self._writer = writer
        self._copies = HostCopies()
        # By a flush, before their time to be looked at came.
        self._recorded: deque[Evidence] = deque()

    def __len__(self) -> int:
        return len(self._recorded) + len(self._copies)

    def send(self, step: int, evidence: Mapping[tuple[Kind, Channel], Tensor]) -> None:
        """Send a 0-based step's evidence on its way; the tensors may be changed afterwards."""
        self._copies.send(step, evidence)

    def put_back(self, evidence: Evidence) -> None:
        """Let a step that is recorded already be looked at."""
        self._recorded.append(evidence)

    def take(self) -> Evidence:
        """The oldest step's evidence, recorded.

        Raises:
            JobError: it is not finite; the record ends before it, and nothing more is under way.
        """
        return self._recorded.popleft() if self._recorded else self._record()

    def flush(self) -> None:
        """Write all steps sent to the record.

        Raises:
            JobError: see `take`.
        """
        # They stay to be taken: of several processes one may flush, and all have to see the draw at the same step.
        while self._copies:
            self._recorded.append(self._record())
        if self._writer is not None:
            self._writer.flush()

    def newest_checksum(self) -> int:
        """Of the newest step in the record, see `TrajectoryWriter.newest_checksum`.

        Raises:
            InputError: the record is closed.
        """
        if self._writer is None:
            raise InputError("the search's record is closed, so that nothing could go on with it")
        return self._writer.newest_checksum()

    def close(self) -> None:
        """Close the record, without what is still under way."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _record(self) -> Evidence:
        step, evidence = self._copies.receive()
        for (kind, channel), array in evidence.items():
            if not all_finite(array):
                self._copies.clear()
                with contextlib.suppress(OSError):  # that it has diverged is the worse news
                    self.flush()
                raise JobError(
                    f"the {channel} of a slimming coefficient of the {kind} is not finite at step {step}: the"
                    " loss has diverged; lower the learning rate, or resume from the last good state"
                )
        if self._writer is not None:
            try:
                self._writer.append(evidence)
            except OSError:
                # The record keeps it for the next flush; so it is to be looked at, too, by whoever goes on.
                self._recorded.append(evidence)
                raise
        return evidence
