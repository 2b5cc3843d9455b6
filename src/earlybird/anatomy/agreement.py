"""Several processes that must do the same, or end together; in a single process nothing is exchanged."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch

from earlybird.anatomy.distributed import several
from earlybird.errors import InputError, JobError

T = TypeVar("T")


def from_all(value: Any) -> list[Any]:
    """A value of every process, in the order of their ranks; all have to call. It must be picklable."""
    if not several():
        return [value]
    # Through the store that the processes met by: a collective would need to know each one's device.
    store = torch.distributed.distributed_c10d._get_default_store()
    rank, processes = torch.distributed.get_rank(), torch.distributed.get_world_size()
    place = f"earlybird/meeting {store.add(f'earlybird/meetings of {rank}', 1)}"
    if rank:
        store.set(f"{place}/{rank}", pickle.dumps(value).hex())
    else:
        others = [_read(store.get(f"{place}/{other}")) for other in range(1, processes)]
        store.set(place, pickle.dumps([value, *others]).hex())
    values: list[Any] = _read(store.get(place))
    return values


def _read(stored: bytes) -> Any:
    return pickle.loads(bytes.fromhex(stored.decode()))


def refuse_disagreement(said: Mapping[str, str]) -> None:
    """Refuse to go on where the processes say different things; all have to call.

    Args:
        said: name -> what this process says, of the same names in all of them.

    Raises:
        InputError: in every process, with the first name that they say different things of.
    """
    of_all = from_all(dict(said))
    for name in said:
        values = [each.get(name) for each in of_all]
        other = next((rank for rank, value in enumerate(values) if value != values[0]), None)
        if other is not None:
            raise InputError(
                f"the processes of one training must agree, but {name} is {values[0]} in process 0 and {values[other]}"
                f" in process {other}: give all of them the same"
            )


def together(action: Callable[[], T]) -> T:
    """Do something in every process; where one fails, all fail. The action itself may not wait for other processes.

    Raises:
        InputError: in every process, in the words of the first that has raised one, and of its class. Of different
            classes InputError itself is raised, for which nobody has a second way.
        JobError: in every process, where one has raised anything else, which it raises itself.
    """
    if not several():
        return action()
    failure: Exception | None = None
    result: T
    try:
        result = action()
    except Exception as error:
        failure = error
    told: tuple[type[InputError | JobError], str] | None = None
    if isinstance(failure, InputError):
        told = type(failure), str(failure)
    elif failure is not None:
        told = JobError, f"{type(failure).__name__}: {failure}"
    outcomes = [(rank, *outcome) for rank, outcome in enumerate(from_all(told)) if outcome is not None]
    if not outcomes:
        return result
    rank, kind, words = next((each for each in outcomes if each[1] is JobError), outcomes[0])
    if kind is not JobError and any(other is not kind for _, other, _ in outcomes):
        kind = InputError
    if failure is not None and told is not None and told[0] is kind:
        raise failure
    raise kind(f"process {rank}: {words}") from failure
