"""Paths of modules and parameters in a model."""

from __future__ import annotations

from torch import Tensor, nn


def below(name: str, part: str) -> str:
    """Path of a part of the module at a path."""
    return f"{name}.{part}" if name else part


def is_in(name: str, path: str) -> bool:
    """Whether a name is that of the module at a path, or of a part of it."""
    return not path or name == path or name.startswith(f"{path}.")


def tensor_at(model: nn.Module, path: str) -> Tensor:
    """The parameter or buffer at a path."""
    owner, _, name = path.rpartition(".")
    found = getattr(model.get_submodule(owner), name)
    assert isinstance(found, Tensor)
    return found
