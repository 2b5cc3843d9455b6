"""Code from elsewhere that a config.json asks transformers to fetch and run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
