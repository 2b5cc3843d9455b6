"""The file that a search is resumed from: the coefficients, their optimizer's state and the step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from earlybird.atomic_write import replaced_whole
from earlybird.errors import InputError
from earlybird.slimming.coefficients import SlimmingCoefficients
from earlybird.vocabulary import Kind


def write_search_state(
    path: Path,
    coefficients: Mapping[Kind, SlimmingCoefficients],
    optimizer: torch.optim.Optimizer,
    *,
    steps: int,
    model: str,
    record: int,
) -> None:
    """Write the state of a search on the model of a fingerprint as safetensors, in one move.

    `record` is a checksum of the newest step in the search's record.
    """
    tensors: dict[str, Tensor] = {}
    for kind, own in coefficients.items():
        tensors[kind] = own.values.detach()
        state = optimizer.state.get(own.values, {})
        tensors |= {f"{kind}.{name}": torch.as_tensor(value, device="cpu") for name, value in state.items()}
    metadata = {"steps": str(steps), "model": model, "record": str(record)}
    with replaced_whole(path) as temporary:
        save_file({name: value.contiguous().cpu() for name, value in tensors.items()}, temporary, metadata)


def read_search_state(
    path: Path,
    coefficients: Mapping[Kind, SlimmingCoefficients],
    optimizer: torch.optim.Optimizer,
    *,
    model: str,
    trained: bool,
) -> tuple[int, int]:
    """Read a state back into coefficients and their optimizer.

    Args:
        path: the file.
        coefficients: of the search that goes on, per kind.
        optimizer: of the coefficients, Adam.
        model: fingerprint of the model's anatomy.
        trained: whether the coefficients are trained, not only differentiated: then the optimizer has a state.

    Returns:
        The steps that were observed before, and the checksum of the last of them in the record.

    Raises:
        InputError: the file is missing or damaged, or of a search on another model or with other settings.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        steps, record = int(metadata["steps"]), int(metadata["record"])
        if steps < 0:
            raise ValueError(f"{steps} steps")
        if metadata["model"] != model:
            raise InputError(f"{path} is the state of a search on another model")
        for kind, own in coefficients.items():
            # In place: the blocks' leaves are views into this buffer.
            own.values.data.copy_(_shaped(tensors, kind, own.values.shape))
            if steps and trained:
                optimizer.state[own.values] = {
                    "step": _shaped(tensors, f"{kind}.step", torch.Size()).float(),
                    **{
                        name: _shaped(tensors, f"{kind}.{name}", own.values.shape).to(own.values.device)
                        for name in ("exp_avg", "exp_avg_sq")
                    },
                }
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as the state of this search: {error}") from error
    return steps, record


def _shaped(tensors: Mapping[str, Tensor], name: str, shape: torch.Size) -> Tensor:
    if tensors[name].shape != shape:
        raise ValueError(f"{name} has shape {tuple(tensors[name].shape)}, not {tuple(shape)}")
    return tensors[name]
