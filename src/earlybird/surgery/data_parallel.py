"""DistributedDataParallel around a model whose parameters are exchanged: it is built anew, in place."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from earlybird.errors import InputError

_SETTINGS = (
    *("device_ids", "output_device", "dim", "process_group", "find_unused_parameters", "gradient_as_bucket_view"),
    *("static_graph", "skip_all_reduce_unused_params", "batched_grad_copy"),
)
# Of the moment, not of the parameters: whether a loop is accumulating gradients.
_OF_THE_LOOP = ("require_backward_grad_sync", "require_forward_param_sync")


def data_parallel_around(model: nn.Module) -> DistributedDataParallel | None:
    """What wraps a whole model for several processes, inside torch.compile or not; None where nothing does."""
    while "_orig_mod" in getattr(model, "_modules", ()):
        model = model.get_submodule("_orig_mod")
    return model if isinstance(model, DistributedDataParallel) else None


def refuse_to_rebuild(wrapper: DistributedDataParallel) -> None:
    """Refuse a wrapper that cannot be built anew with the settings that it has.

    Raises:
        InputError: it is of a class of the user's own, or has settings that it does not tell, or hooks with a state.
    """
    reason = ""
    if type(wrapper) is not DistributedDataParallel:
        reason = f"{type(wrapper).__name__} is not torch's DistributedDataParallel itself"
    elif getattr(wrapper, "mixed_precision", None) is not None or getattr(wrapper, "_delay_all_reduce_params", None):
        reason = "it has a mixed precision of its own, or parameters that are reduced later"
    elif getattr(wrapper, "_use_python_reducer", False):
        reason = "torch.compile reduces its gradients (optimize_ddp='python_reducer')"
    elif distributed.get_world_size(wrapper.process_group) != distributed.get_world_size():
        reason = "it is one of several groups of processes"
    for hook, state in _hooks_of(wrapper):
        if state is not None and not isinstance(state, distributed.ProcessGroup):
            reason = f"its communication hook {getattr(hook, '__name__', hook)} keeps a {type(state).__name__}"
    if reason:
        raise InputError(
            f"DistributedDataParallel cannot be built anew around the pruned model, because {reason}: prune"
            " model.module in every process, and wrap that anew, with a new optimizer"
        )


def rebuild(wrapper: DistributedDataParallel) -> None:
    """Let a wrapper reduce the gradients of the parameters that its module has now; all processes have to call.

    It takes over all that a new wrapper with its settings has: buckets, hooks on gradients, and, from the first
    process, parameters and buffers. Its own hooks, and whoever holds it, stay.

    Raises:
        InputError: see `refuse_to_rebuild`.
        RuntimeError: the parameters are not of the same shapes in all processes.
    """
    refuse_to_rebuild(wrapper)
    known = inspect.signature(DistributedDataParallel).parameters
    settings: dict[str, Any] = {name: getattr(wrapper, name) for name in _SETTINGS if name in known}
    if not getattr(wrapper, "forward_sync_buffers", True) or not getattr(wrapper, "broadcast_buffers", True):
        settings["broadcast_buffers"] = False  # nor now: each process may have its own
    if sizes := getattr(wrapper, "bucket_bytes_cap_list", None):
        settings["bucket_cap_mb_list"] = [size / 2**20 for size in sizes]
    elif not wrapper.bucket_bytes_cap_default:
        settings["bucket_cap_mb"] = wrapper.bucket_bytes_cap / 2**20
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        new = DistributedDataParallel(wrapper.module, **settings)
    for hook, state in _hooks_of(wrapper):
        new.register_comm_hook(state, hook)
    of_every_module = vars(nn.Module())
    for name, value in vars(new).items():
        if name not in of_every_module and name not in _OF_THE_LOOP:
            setattr(wrapper, name, value)


def _hooks_of(wrapper: DistributedDataParallel) -> list[tuple[Any, Any]]:
    """The communication hooks on a wrapper, and their states."""
    return list(getattr(wrapper, "_comm_hooks", ()))
