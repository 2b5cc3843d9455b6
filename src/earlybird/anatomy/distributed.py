"""Several processes that train one model together, by DDP or FSDP; all of it does nothing in a single one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from earlybird.errors import InputError, JobError


def several() -> bool:
    """Whether the process belongs to a group."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def is_first() -> bool:
    """Whether this is the process that writes files: rank 0, or the only one."""
    return not several() or torch.distributed.get_rank() == 0


def average(tensor: Tensor) -> None:
    """Average a tensor over the processes, in place; all of them have to call."""
    if several():
        torch.distributed.all_reduce(tensor)
        tensor.div_(torch.distributed.get_world_size())


def wait_for_all() -> None:
    """Go on when all processes have come so far."""
    if several():
        torch.distributed.barrier()


def by_the_first(action: Callable[[], None]) -> None:
    """Do something in the first process. The others wait for its end, and fail where it fails; it waits for none.

    Raises:
        InputError: the first process raised one; so do the others, in its words.
        JobError: in the others, where the first process raised anything else.
    """
    if not several():
        action()
        return
    # Not a barrier: for that, a first process that calls alone would wait for ever.
    store = torch.distributed.distributed_c10d._get_default_store()
    call = store.add(f"earlybird/calls of {torch.distributed.get_rank()}", 1)
    end = f"earlybird/end of call {call}"
    if not is_first():
        failed, refused, words = json.loads(store.get(end))
        if failed:
            raise InputError(words) if refused else JobError(f"the first process failed: {words}")
        return
    try:
        action()
    except BaseException as error:
        refused = isinstance(error, InputError)
        store.set(end, json.dumps([True, refused, str(error) if refused else f"{type(error).__name__}: {error}"]))
        raise
    store.set(end, json.dumps([False, False, ""]))


def replicated_like(values: Tensor, weight: Tensor) -> Tensor:
    """Values that every process has, as a tensor that multiplies a weight, sharded or not."""
    if not is_sharded_tensor(weight):
        return values
    from torch.distributed.tensor import DTensor, Replicate

    assert isinstance(weight, DTensor)
    mesh = weight.device_mesh
    return DTensor.from_local(values, mesh, [Replicate()] * mesh.ndim, run_check=False)


def is_sharded_tensor(tensor: Tensor) -> bool:
    """Whether a process holds only a part of the tensor (FSDP2, tensor parallelism)."""
    # Where nothing was sharded, nothing has imported it.
    module: Any = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def refuse_sharded(model: nn.Module) -> None:
    """Refuse a model of which each process holds a part.

    Raises:
        InputError: it is one.
    """
    if any(is_sharded_tensor(parameter) for parameter in model.parameters()):
        raise InputError(
            "the model's parameters are sharded over processes (FSDP): gather them into a plain model, by"
            " earlybird.prune_sharded where it is to be pruned, and save or shard that; see docs/several-processes.md"
        )
