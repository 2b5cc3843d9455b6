"""Code and weights from elsewhere that a config.json asks transformers to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from earlybird.checkpoint import load_mark
from earlybird.errors import InputError


def refuse_kernels(config: Any, source: str) -> None:
    """Refuse a config that names a kernel on the hub for its attention or its experts.

    Args:
        config: what the file says.
        source: of it, for the error.

    Raises:
        InputError: it names one ("owner/kernel"), in itself or in a config inside.
    """
    for key, name in _implementations(config):
        if "/" in name:
            raise InputError(
                f"{source} names the kernel {name!r} as {key}, which is code that transformers would fetch and run:"
                " take the key out of the file; whoever trusts that code gives its name to from_pretrained"
            )


def refuse_files_of_weights(config: Any, source: str) -> None:
    """Refuse a config that names the file of its weights, which need be no safetensors file and is not looked at.

    Args:
        config: what the file says.
        source: of it, for the error.

    Raises:
        InputError: it names one, in itself or in a config inside.
    """
    if isinstance(config, list):
        for inner in config:
            refuse_files_of_weights(inner, source)
    elif isinstance(config, dict):
        for key, value in config.items():
            if key == load_mark.FIELD and value is not None and not load_mark.is_mark(value):
                raise InputError(
                    f"{source} names the file of the weights, {value!r} as {key}: take the key out; weights are read"
                    " from model.safetensors, or the shards that model.safetensors.index.json names"
                )
            refuse_files_of_weights(value, source)


def _implementations(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text under such a key, which may also tell the parts of a model apart: {"text_config": "owner/kernel"}."""
    inside = key.removesuffix("_internal").endswith(("attn_implementation", "experts_implementation"))
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _implementations(inner, key if inside else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _implementations(inner, key)
    elif isinstance(value, str) and inside:
        yield key, value
