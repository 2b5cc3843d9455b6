"""Tasks on a Ray cluster: the one that RAY_ADDRESS names, or one of this machine's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import ray


class RayTasks(Executor):
    """Hands each task to Ray, which decides when and where it runs; it gets one CPU, and a GPU where there are any.

    Args:
        workers: CPUs of the Ray that is started where none is named.
    """

    def __init__(self, workers: int) -> None:
        if "RAY_ADDRESS" in os.environ:
            ray.init(log_to_driver=False)
        else:
            ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
        self._task = ray.remote(num_cpus=1, num_gpus=1 if ray.cluster_resources().get("GPU") else 0)

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand over a call; the future that `ray.ObjectRef` has."""
        future: Future[Any] = self._task(function).remote(*args, **kwargs).future()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, which ends what still runs."""
        ray.shutdown()
