"""Copies of a device's tensors on their way to the host, that nothing waits for."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Name = TypeVar("Name")


class HostCopies(Generic[Name]):
    """Named float32 arrays on the host, in the order in which their tensors were sent.

    A host runs ahead of a CUDA device by what it has queued there. To wait for a copy just queued would let the device
    run dry; a few training steps later it has arrived.
    """

    def __init__(self) -> None:
        self._under_way: deque[tuple[dict[Name, Tensor], torch.cuda.Event | None]] = deque()

    def __len__(self) -> int:
        return len(self._under_way)

    def send(self, tensors: Mapping[Name, Tensor]) -> None:
        """Queue copies of tensors of one device, which may be changed afterwards."""
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
        self._under_way.append((copies, event))

    def receive(self) -> dict[Name, NDArray[np.float32]]:
        """What was sent first of all that was not received yet; waits for it."""
        copies, event = self._under_way.popleft()
        if event is None:
            return {name: copy.numpy() for name, copy in copies.items()}
        event.synchronize()
        # Out of pinned memory, which the next copies take.
        return {name: copy.numpy().copy() for name, copy in copies.items()}

    def clear(self) -> None:
        """Forget what was not received yet."""
        self._under_way.clear()
