"""What a search measures, on its way from the device to the record and, a little later, to the detector."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from earlybird.errors import InputError, JobError
from earlybird.finite import all_finite
from earlybird.host_copies import HostCopies
from earlybird.trajectory import Channel, Kind, TrajectoryWriter

Evidence = Mapping[tuple[Kind, Channel], NDArray[np.float32]]


class EvidenceLog:
    """The evidence of steps that were not looked at yet, (layers, units) per kind and channel, oldest first.

    Args:
        steps: recorded before, by the search that is resumed.
        writer: of the record, if there is one.
    """

    def __init__(self, steps: int, writer: TrajectoryWriter | None) -> None:
        self._steps = steps
        self._writer = writer
        self._copies: HostCopies[tuple[Kind, Channel]] = HostCopies()
        # By a flush, before their time to be looked at came.
        self._recorded: deque[Evidence] = deque()

    def __len__(self) -> int:
        return len(self._recorded) + len(self._copies)

    def send(self, evidence: Mapping[tuple[Kind, Channel], Tensor]) -> None:
        """Send a step's evidence on its way; the tensors may be changed afterwards."""
        self._copies.send(evidence)

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
        evidence = self._copies.receive()
        for (kind, channel), array in evidence.items():
            if not all_finite(array):
                self._copies.clear()
                with contextlib.suppress(OSError):  # that it has diverged is the worse news
                    self.flush()
                raise JobError(
                    f"the {channel} of a slimming coefficient of the {kind} is not finite at step {self._steps}: the"
                    " loss has diverged; lower the learning rate, or resume from the last good state"
                )
        self._steps += 1
        if self._writer is not None:
            try:
                self._writer.append(evidence)
            except OSError:
                # The record keeps it for the next flush; so it is to be looked at, too, by whoever goes on.
                self._recorded.append(evidence)
                raise
        return evidence
