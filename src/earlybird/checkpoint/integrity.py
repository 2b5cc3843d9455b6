"""Whether the weights of a directory are those that were saved: a digest in each safetensors file's own header.

A file that anything else writes again has no digest and is not judged; one that was changed in place is found out.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from earlybird.atomic_write import replaced_whole
from earlybird.errors import InputError

DIGEST = "earlybird_sha256"


def seal(directory: Path) -> None:
    """Write into the header of every safetensors file of a directory the digest of its tensors, file by file."""
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        with replaced_whole(path) as temporary:
            save_file(tensors, temporary, {**metadata, DIGEST: _digest(tensors)})


def check(directory: Path) -> None:
    """Raise InputError if a safetensors file of a directory cannot be read, or is not what its digest says."""
    for path in sorted(directory.glob("*.safetensors")):
        try:
            with safe_open(path, "pt") as file:
                said = (file.metadata() or {}).get(DIGEST)
                same = said is None or said == _digest({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path} cannot be read, it is damaged or cut short: {error}") from error
        if not same:
            raise InputError(f"{path} was changed after it was saved: its tensors do not fit its digest")


def _digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of the tensors' names, types, shapes and bytes."""
    result = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        result.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        result.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return result.hexdigest()
