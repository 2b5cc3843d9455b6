"""Optimizer state by parameter name: taken from an optimizer, put into a new one, in a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from earlybird.errors import InputError

OPTIMIZER = "optimizer.safetensors"


def optimizer_state_by_name(optimizer: torch.optim.Optimizer, model: PreTrainedModel) -> dict[str, dict[str, Tensor]]:
    """The optimizer's tensors per parameter name."""
    return {
        name: {key: value.detach() for key, value in optimizer.state[parameter].items() if isinstance(value, Tensor)}
        for name, parameter in model.named_parameters()
        if parameter in optimizer.state
    }


def load_optimizer_state(
    optimizer: torch.optim.Optimizer, model: PreTrainedModel, state: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Give a new optimizer over `model` the state of an old one, by parameter name."""
    for name, parameter in model.named_parameters():
        if name in state:
            optimizer.state[parameter] = {
                key: value.clone() if key == "step" else value.to(parameter.device, copy=True)
                for key, value in state[name].items()
            }


def write_optimizer_state(path: Path, state: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write optimizer state by parameter name as safetensors."""
    tensors = {
        f"{name}|{key}": value.contiguous().cpu() for name, entries in state.items() for key, value in entries.items()
    }
    save_file(tensors, path)


def read_optimizer_state(path: Path) -> dict[str, dict[str, Tensor]]:
    """Optimizer state by parameter name, as `write_optimizer_state` left it.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as optimizer state: {error}") from error
    state: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        parameter, _, key = name.rpartition("|")
        state.setdefault(parameter, {})[key] = value
    return state
