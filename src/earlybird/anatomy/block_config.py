"""The config as one block reads it, where its forward pass takes the number of its heads from there (Phi-3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


class BlockConfig:
    """The config of a model with other counts for one block. All else is the model's, also what is set there later.

    Args:
        shared: the model's config, or that of a part of it.
        counts: fields that say something else of this block.
    """

    def __init__(self, shared: Any, counts: Mapping[str, int]) -> None:
        self.shared = shared
        self.counts = dict(counts)
        vars(self).update(counts)

    def __getattr__(self, name: str) -> Any:
        # While it is copied or unpickled it has nothing to ask yet.
        if name.startswith("__") or "shared" not in vars(self):
            raise AttributeError(name)
        return getattr(self.shared, name)


def with_counts(config: Any, counts: Mapping[str, int]) -> BlockConfig:
    """A config as a block with these counts reads it, also of one that says some already."""
    if isinstance(config, BlockConfig):
        return BlockConfig(config.shared, {**config.counts, **counts})
    return BlockConfig(config, counts)


def config_read_by(module: nn.Module) -> Any:
    """The config that a block holds for its forward pass, or None; that of a whole model is for more than its block."""
    from transformers import PreTrainedModel

    return None if isinstance(module, PreTrainedModel) else vars(module).get("config")
